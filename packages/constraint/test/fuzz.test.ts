import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import { full } from '../../engine/test/fixtures/test-size.ts'
import { ConstraintChecks, ConstraintError, Constraints, type Matcher } from '../src/index.ts'
import { fulfils, hostile, schemas } from './schemas.ts'

const bytes = { size: 257, bytesOf: (token: number) => Uint8Array.from(token < 256 ? [token] : []) }
const constraints = new Constraints({ ...bytes, isEndOfGeneration: (token) => token === 256 })
const checks = new ConstraintChecks()
after(() => checks[Symbol.dispose]())

const closing = new Set(Buffer.from('"]}'))

/** A text that somebody says who takes any byte that may follow, and comes to an end when he can. */
function said(matcher: Matcher, pick: (count: number) => number, most: number): string | undefined {
  const text: number[] = []
  while (text.length < most) {
    if (matcher.ending === 'must' || (matcher.ending === 'may' && pick(3) === 0)) return Buffer.from(text).toString()
    const mask = matcher.mask()
    const allowed = Array.from({ length: 256 }, (_, byte) => byte).filter((b) => (mask[b >> 5]! >> (b & 31)) & 1)
    const ends = allowed.filter((byte) => closing.has(byte))
    const from = ends.length > 0 && pick(4) > 0 ? ends : allowed
    if (from.length === 0) return Buffer.from(text).toString()
    text.push(from[pick(from.length)]!)
    matcher.advance(text.at(-1)!)
  }
  return undefined
}

const picks = fc.infiniteStream(fc.nat(0xffffff))
const picker = (stream: Iterator<number>) => (count: number) => stream.next().value % count

test('whatever is said under a schema fulfils it', { timeout: 600_000 }, async () => {
  let ended = 0
  let begun = 0
  await fc.assert(
    fc.asyncProperty(schemas, picks, async (schema, stream) => {
      await checks.check({ type: 'json_schema', schema })
      using matcher = constraints.compile({ type: 'json_schema', schema })
      const text = said(matcher, picker(stream), 1500)
      begun++
      if (text === undefined) return
      ended++
      assert.ok(fulfils(schema, text), `${text} under ${JSON.stringify(schema)}`)
    }),
    { numRuns: full ? 2000 : 150 },
  )
  assert.ok(ended > 0.9 * begun, `${ended} of ${begun} texts came to an end`)
})

test('what wants too much is refused by name, or costs its own text only', { timeout: 600_000 }, async (t) => {
  const bystander = constraints.compile({ type: 'json_schema', schema: { enum: ['yes', 'no'] } })
  const before = [...bystander.mask()]
  const counts = { refused: 0, given_up: 0, said: 0 }
  await fc.assert(
    // What is printed of one that fails must not be as deep as itself.
    fc.asyncProperty(
      hostile.map((schema) => ({ schema, [fc.toStringMethod]: () => summary(schema) })),
      picks,
      async ({ schema }, stream) => {
        const declared = { type: 'json_schema', schema } as const
        try {
          await checks.check(declared)
        } catch (error) {
          assert.ok(error instanceof ConstraintError && error.reason !== '', String(error))
          counts.refused++
          return
        }
        try {
          using matcher = constraints.compile(declared)
          said(matcher, picker(stream), 60)
          counts.said++
        } catch (error) {
          assert.ok(error instanceof ConstraintError && error.reason !== '', String(error))
          counts.given_up++
        }
        assert.deepEqual([...bystander.mask()], before)
      },
    ),
    { numRuns: full ? 500 : 40 },
  )
  t.diagnostic(JSON.stringify(counts))
  assert.ok(counts.refused > 0 && counts.said > 0)
  // Whatever was taken is given back.
  bystander[Symbol.dispose]()
  constraints.compile({ type: 'choice', choices: ['yes'] })[Symbol.dispose]()
  assert.ok(constraints.size <= 256 * 2 ** 20, `${constraints.size} bytes`)
})

function summary(schema: object): string {
  try {
    return JSON.stringify(schema).slice(0, 200)
  } catch (error) {
    return String(error)
  }
}
