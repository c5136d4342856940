import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { ConstraintError, Constraints, type Declared, type Matcher } from '../src/index.ts'
import { allows, control, ends, tokensOf, vocabulary } from './fixtures.ts'

const constraints = new Constraints(vocabulary)

/** How far a text is allowed: whole and complete, whole, or not. */
function judged(declared: Declared, text: string): 'complete' | 'begun' | 'refused' {
  const matcher = constraints.compile(declared)
  for (const token of tokensOf(text)) {
    if (!allows(matcher.mask(), token)) return 'refused'
    matcher.advance(token)
  }
  return matcher.ending === 'no' ? 'begun' : 'complete'
}

test('the library in the repository is the one that its hash names', () => {
  const file = (name: string) => readFileSync(new URL(`../wasm/${name}`, import.meta.url))
  const hash = createHash('sha256').update(file('constraint.wasm')).digest('hex')
  assert.equal(file('constraint.wasm.sha256').toString().trim(), hash)
})

test('a JSON schema', () => {
  const schema = {
    type: 'object',
    properties: { name: { type: 'string', maxLength: 4 }, age: { type: 'integer', maximum: 120 } },
    required: ['name', 'age'],
    additionalProperties: false,
  }
  const declared = { type: 'json_schema', schema } as const
  assert.equal(judged(declared, '{"name": "Ada", "age": 36}'), 'complete')
  assert.equal(judged(declared, '{"name": "Ada", "age": 3'), 'begun')
  for (const text of ['{"age"', '{"name": "Adaaa', '{"name": "Ada", "age": 121', '{"name": "Ada"}', '[']) {
    assert.equal(judged(declared, text), 'refused', text)
  }
})

test('a regular expression, a choice and a grammar', () => {
  const regex = { type: 'regex', pattern: '[A-Z][a-z]+( [0-9]{2})?' } as const
  assert.deepEqual(
    ['Ada', 'Ada 12', 'Ada 1', 'ada'].map((text) => judged(regex, text)),
    ['complete', 'complete', 'begun', 'refused'],
  )
  const choice = { type: 'choice', choices: ['yes', 'no', 'say "no"'] } as const
  assert.deepEqual(
    ['yes', 'no', 'say "no"', 'say', 'nope'].map((text) => judged(choice, text)),
    ['complete', 'complete', 'complete', 'begun', 'refused'],
  )
  const grammar = { type: 'grammar', grammar: 'start: "a" ("b" | "c")+ "d"' } as const
  assert.deepEqual(
    ['abcd', 'abc', 'ad'].map((text) => judged(grammar, text)),
    ['complete', 'begun', 'refused'],
  )
})

test('a text ends by any token that ends one, when it may and not before; control tokens are never allowed', () => {
  const matcher = constraints.compile({ type: 'choice', choices: ['yes'] })
  assert.deepEqual(
    ends.map((end) => allows(matcher.mask(), end)),
    [false, false],
  )
  for (const token of matcher.forced()) matcher.advance(token)
  for (const token of tokensOf('yes')) if (allows(matcher.mask(), token)) matcher.advance(token)
  assert.deepEqual(
    ends.map((end) => allows(matcher.mask(), end)),
    [true, true],
  )
  assert.equal(allows(matcher.mask(), control), false)
  matcher.advance(ends[1]!)
  assert.equal(allows(matcher.fork().mask(), tokensOf('y')[0]!), false)
  matcher.rollback(1)
  assert.ok(allows(matcher.mask(), ends[1]!))
})

test('what cannot be compiled is refused with the reason, and what is not allowed is an error; others go on', () => {
  const other = constraints.compile({ type: 'regex', pattern: 'ab' })
  const refused = (declared: Declared, message: RegExp) =>
    assert.throws(() => constraints.compile(declared), { name: 'ConstraintError', message })
  refused({ type: 'json_schema', schema: { not: { type: 'string' } } }, /not/)
  refused({ type: 'json_schema', schema: { type: 'nonsense' } }, /nonsense/)
  refused({ type: 'regex', pattern: '(' }, /./)
  refused({ type: 'grammar', grammar: 'begin: "a"' }, /start/)
  refused({ type: 'choice', choices: [] }, /nothing/)
  assert.throws(() => constraints.compile({ type: 'regex', pattern: 'a' }).advance(tokensOf('b')[0]!), ConstraintError)
  assert.ok(allows(other.mask(), tokensOf('ab')[0]!))
})

const documents: Declared[] = [
  { type: 'json_schema', schema: { type: 'array', items: { enum: ['yes', 'no', true, null] }, maxItems: 3 } },
  {
    type: 'json_schema',
    schema: {
      $ref: '#/$defs/n',
      $defs: { n: { anyOf: [{ type: 'null' }, { type: 'array', items: { $ref: '#/$defs/n' } }] } },
    },
  },
  { type: 'regex', pattern: '(ab|no)*true' },
]

test('whatever is taken back, and wherever it is forked, the same may follow as for whoever came there directly', () => {
  const steps = fc.array(fc.record({ pick: fc.nat(), back: fc.nat(4), fork: fc.boolean() }), { maxLength: 30 })
  fc.assert(
    fc.property(fc.constantFrom(...documents), steps, (declared, steps) => {
      let matcher: Matcher = constraints.compile(declared)
      const text: number[] = []
      for (const { pick, back, fork } of steps) {
        const allowed = Array.from({ length: vocabulary.size }, (_, token) => token)
          .filter((token) => allows(matcher.mask(), token))
          .filter((token) => !ends.includes(token))
        if (allowed.length > 0) {
          const token = allowed[pick % allowed.length]!
          matcher.advance(token)
          text.push(token)
        }
        const taken = Math.min(back, text.length)
        if (taken > 1) {
          matcher.rollback(taken)
          text.length -= taken
        }
        if (fork) matcher = matcher.fork()
        const direct = constraints.compile(declared)
        for (const token of text) direct.advance(token)
        assert.deepEqual([...matcher.mask()], [...direct.mask()])
        assert.deepEqual([matcher.ending, matcher.forced()], [direct.ending, direct.forced()])
      }
    }),
    { numRuns: 40 },
  )
})
