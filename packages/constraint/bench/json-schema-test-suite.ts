/*
 * node packages/constraint/bench/json-schema-test-suite.ts FOLDER...: what of the public JSON Schema Test Suite is taken.
 * FOLDER is tests/draft2020-12, say, of https://github.com/json-schema-org/JSON-Schema-Test-Suite. A schema is enforced, or
 * refused with the reason. Where it is enforced, an instance that it forbids must not come through: that would be wrong. An
 * instance that it allows may be refused nevertheless: a model then says another one (keys in another order, another way to
 * write a number). Ends with 1 where anything is wrong.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ConstraintError, Constraints, type Matcher } from '../src/index.ts'

interface Case {
  readonly description: string
  readonly schema: unknown
  readonly tests: readonly { readonly description: string; readonly data: unknown; readonly valid: boolean }[]
}

const constraints = new Constraints({
  size: 257,
  bytesOf: (token) => (token < 256 ? Uint8Array.of(token) : new Uint8Array()),
  isEndOfGeneration: (token) => token === 256,
})

const folders = process.argv.slice(2)
if (folders.length === 0) {
  console.error('usage: node packages/constraint/bench/json-schema-test-suite.ts FOLDER...')
  process.exit(2)
}
let wrong = 0
for (const folder of folders) {
  console.log(`\n${basename(folder)}\n`)
  console.log('| keyword | schemas | enforced | refused | valid taken | valid not taken | invalid stopped | wrong |')
  console.log('|---|--:|--:|--:|--:|--:|--:|--:|')
  const total = [0, 0, 0, 0, 0, 0, 0]
  const reasons = new Map<string, number>()
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
    const counts = [0, 0, 0, 0, 0, 0, 0]
    for (const { schema, tests, description } of JSON.parse(readFileSync(join(folder, file), 'utf8')) as Case[]) {
      counts[0]!++
      const matcher = compiled(schema, reasons)
      counts[matcher ? 1 : 2]!++
      if (!matcher) continue
      for (const test of tests) {
        const taken = takes(matcher, written(test.data))
        counts[test.valid ? (taken ? 3 : 4) : taken ? 6 : 5]!++
        if (taken && !test.valid) {
          console.error(
            `wrong: ${file}: ${description}: ${test.description}: ${written(test.data)} under ${JSON.stringify(schema)}`,
          )
        }
      }
    }
    console.log(`| ${basename(file, '.json')} | ${counts.join(' | ')} |`)
    for (const [i, count] of counts.entries()) total[i]! += count
  }
  console.log(`| all | ${total.join(' | ')} |`)
  console.log('\nRefused because of: ')
  for (const [reason, count] of [...reasons].sort((a, b) => b[1] - a[1])) console.log(`- ${count}: ${reason}`)
  wrong += total[6]!
}
process.exit(wrong > 0 ? 1 : 0)

function compiled(schema: unknown, reasons: Map<string, number>): Matcher | undefined {
  try {
    const matcher = constraints.compile({ type: 'json_schema', schema })
    matcher.mask()
    return matcher
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    const reason = error.reason.split('\n')[0]!.slice(0, 100)
    reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
    return undefined
  }
}

function takes(matcher: Matcher, text: string): boolean {
  let taken = 0
  try {
    for (const byte of Buffer.from(text)) {
      if (matcher.allowedLength([byte]) === 0) return false
      matcher.advance(byte)
      taken++
    }
    return matcher.ending !== 'no'
  } finally {
    matcher.rollback(taken)
  }
}

/** JSON in the one way in which it is said here: a blank behind `:` and `,`. */
function written(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(written).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}: ${written(inner)}`)
  return `{${entries.join(', ')}}`
}
