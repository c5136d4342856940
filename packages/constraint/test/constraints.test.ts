import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { ConstraintError, Constraints, type Declared, type Matcher } from '../src/index.ts'
import { allows, control, ends, judgementOf, naming, tokenizing, tokensOf, vocabulary } from './fixtures.ts'

const constraints = new Constraints(vocabulary)
const forcing = new Constraints(tokenizing)

const judged = (declared: Declared, text: string) => judgementOf(constraints.compile(declared), text)

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
  assert.deepEqual(matcher.forced(), [])
  const [yes] = tokensOf('yes')
  assert.equal(matcher.allowedLength([yes!, ends[1]!, ends[0]!]), 3)
  assert.equal(matcher.allowedLength([yes!, yes!]), 1)
  matcher.advance(yes!)
  assert.deepEqual(
    ends.map((end) => allows(matcher.mask(), end)),
    [true, true],
  )
  assert.equal(allows(matcher.mask(), control), false)
  matcher.advance(ends[1]!)
  assert.equal(allows(matcher.fork().mask(), tokensOf('y')[0]!), false)
  assert.equal(matcher.forced().length, 0)
  matcher.rollback(1)
  assert.ok(allows(matcher.mask(), ends[1]!))
})

test('what cannot be compiled is refused with the reason, and what is not allowed is an error; others go on', () => {
  const other = constraints.compile({ type: 'regex', pattern: 'ab' })
  const refused = (declared: Declared, message: RegExp) =>
    assert.throws(() => constraints.compile(declared), { name: 'ConstraintError', message })
  const nested = { properties: { a: { items: { not: { type: 'string' } } } } }
  refused({ type: 'json_schema', schema: nested }, /^properties\.a\.items: "not" cannot be enforced$/)
  refused({ type: 'json_schema', schema: { anyOf: [{}, { type: 'nonsense' }] } }, /^anyOf\[1\]: .*nonsense/)
  refused({ type: 'json_schema', schema: { format: 'regex' } }, /regex/)
  refused({ type: 'json_schema', schema: 7 }, /object or a boolean/)
  refused({ type: 'json_schema', schema: false }, /nothing fulfils it/)
  refused({ type: 'regex', pattern: '(' }, /./)
  refused({ type: 'grammar', grammar: 'begin: "a"' }, /start/)
  refused({ type: 'choice', choices: [] }, /nothing/)
  refused({ type: 'choice', choices: ['a', ''] }, /empty/)
  refused({ type: 'regex', pattern: 'a'.repeat(2 ** 20 + 1) }, /at most 1048576/)
  let deep: unknown = {}
  for (let i = 0; i < 20_000; i++) deep = { items: deep }
  refused({ type: 'json_schema', schema: deep }, /deep/)
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

test('with a tokenizer forced text is forced in its tokens, but for an end that may be part of a longer one', () => {
  const properties = { name: { enum: ['yes', 'no'] }, age: { type: 'integer' } }
  const schema = { type: 'object', properties, required: ['name', 'age'], additionalProperties: false }
  const matcher = forcing.compile({ type: 'json_schema', schema })
  const only = () =>
    Array.from({ length: vocabulary.size }, (_, token) => token).filter((t) => allows(matcher.mask(), t))
  // ` "` could go on as one token of that and the value.
  assert.deepEqual(matcher.forced(), tokensOf('{"name": "').slice(0, matcher.forced().length))
  assert.ok(matcher.forced().length >= 3)
  for (const token of matcher.forced()) {
    assert.deepEqual(only(), [token])
    matcher.advance(token)
  }
  for (const token of tokensOf('{"name": "yes').slice(
    forcing.compile({ type: 'json_schema', schema }).forced().length,
  )) {
    matcher.advance(token)
  }
  const rest = tokensOf('", "age": 1')
  assert.deepEqual(matcher.forced(), rest.slice(0, matcher.forced().length))
  assert.ok(matcher.forced().length >= 4)
  assert.equal(matcher.allowedLength([...matcher.forced(), control]), matcher.forced().length)
})

test('whatever is taken back, and wherever it is forked, the same may follow as for whoever came there directly', () => {
  const steps = fc.array(fc.record({ pick: fc.nat(), back: fc.nat(4), fork: fc.boolean() }), { maxLength: 30 })
  fc.assert(
    fc.property(
      fc.constantFrom(constraints, forcing),
      fc.constantFrom(...documents),
      steps,
      (with_, declared, steps) => {
        let matcher: Matcher = with_.compile(declared)
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
          const direct = with_.compile(declared)
          for (const token of text) direct.advance(token)
          assert.deepEqual([...matcher.mask()], [...direct.mask()])
          assert.deepEqual([matcher.ending, matcher.forced()], [direct.ending, direct.forced()])
          const draft = [pick % vocabulary.size, ...matcher.forced(), ends[1]!, 65]
          for (let i = 0, length = matcher.allowedLength(draft); i < draft.length; i++) {
            assert.equal(allows(direct.mask(), draft[i]!), i < length)
            if (i >= length) break
            direct.advance(draft[i]!)
          }
        }
      },
    ),
    { numRuns: 40 },
  )
})

test('lenient: what cannot be enforced is left out', () => {
  const schema = { type: 'object', properties: { a: { not: {}, type: 'integer' } }, required: ['a'] }
  const lenient = { type: 'json_schema', schema, lenient: true } as const
  assert.equal(judged(lenient, '{"a": 1}'), 'complete')
  assert.equal(judged(lenient, '{"a": "'), 'refused')
})

test('a format that the standard does not know says nothing, one that it knows is enforced or refused', () => {
  const of = (format: string) => ({ type: 'json_schema', schema: { type: 'string', format } }) as const
  assert.equal(judged(of('phone'), '"+49"'), 'complete')
  assert.equal(judged(of('date'), '"2024-02-29"'), 'complete')
  for (const day of ['2024-02-30', '2023-02-29', '1900-02-29'])
    assert.equal(judged(of('date'), `"${day}"`), 'refused', day)
  const both = { type: 'string', format: 'date', pattern: '^20' } as const
  assert.equal(judged({ type: 'json_schema', schema: both }, '"2024-01-31"'), 'complete')
  for (const day of ['1999-01-01', '2024-13'])
    assert.equal(judged({ type: 'json_schema', schema: both }, `"${day}`), 'refused')
  // As the name of a property, as a value and as an example it is no format.
  const named = { properties: { format: { const: 'regex' } }, required: ['format'], default: { format: 'regex' } }
  assert.equal(judged({ type: 'json_schema', schema: { type: 'object', ...named } }, '{"format": "regex"}'), 'complete')
})

test('tags in free text: from a trigger on, one of its tags', () => {
  const call = (name: string, schema: unknown) => ({ begin: `<call>${name} `, schema, end: '</call>' })
  const tags = [call('yes', { type: 'integer' }), call('no', { enum: ['a'] })]
  const declared = { type: 'structural_tag', tags, triggers: ['<call>', '<other>'] } as const
  const cases: [string, string][] = [
    ['', 'complete'],
    ['a < b <cal', 'complete'],
    ['so: <call>yes 12</call> and <call>no "a"</call>.', 'complete'],
    ['so: <call>', 'begun'],
    ['so: <call>x', 'refused'],
    ['so: <call>yes "a"', 'refused'],
    ['so: <call>no 12', 'refused'],
    ['so: <call>yes 12 ', 'refused'],
    // Nobody's trigger is text.
    ['<other> ', 'complete'],
  ]
  for (const [text, expected] of cases) assert.equal(judged(declared, text), expected, text)
  const bad = (over: object, message: RegExp) =>
    assert.throws(() => constraints.compile({ ...declared, ...over }), { name: 'ConstraintError', message })
  bad({ triggers: ['<tool>'] }, /"<call>yes " begins with no trigger/)
  bad({ triggers: [''] }, /empty/)
  bad({ tags: [] }, /no tags/)
})

test('a tag at once, one only, several in a row', () => {
  const tags = [{ begin: '<c>', schema: { type: 'integer', minimum: 0 }, end: '</c>' }]
  const declared = { type: 'structural_tag', tags, triggers: ['<c>'] } as const
  const cases: [object, Record<string, string>][] = [
    [
      { atLeastOne: true },
      { '<c>1</c>': 'complete', '<c>1</c>\n<c>2</c>': 'complete', a: 'refused', '<c>1</c>a': 'refused' },
    ],
    [
      { atLeastOne: true, stopAfterFirst: true },
      { '<c>1</c>': 'complete', '<c>1</c><': 'refused', '': 'begun' },
    ],
    [
      { stopAfterFirst: true },
      { '': 'complete', 'a b': 'complete', 'a <c>1</c>': 'complete', 'a <c>1</c> ': 'refused' },
    ],
    [
      { otherwise: { schema: { type: 'array', items: { type: 'boolean' } } } },
      {
        '<c>1</c>\n<c>2</c>': 'complete',
        '[true]': 'complete',
        '<c>1</c>[true]': 'refused',
        '[true]<c>': 'refused',
        '[1': 'refused',
        a: 'refused',
        '': 'begun',
      },
    ],
    [
      { otherwise: { schema: { type: 'boolean' } }, stopAfterFirst: true },
      { '<c>1</c>': 'complete', true: 'complete', '<c>1</c><': 'refused' },
    ],
    [
      { otherwise: { schema: { type: 'boolean' } }, atLeastOne: true },
      { '<c>1</c>': 'complete', true: 'refused' },
    ],
  ]
  for (const [over, texts] of cases) {
    for (const [text, expected] of Object.entries(texts)) {
      assert.equal(judged({ ...declared, ...over }, text), expected, `${text} ${JSON.stringify(over)}`)
    }
  }
})

test('a control token that a tag names is meant as the token', () => {
  const named = new Constraints(naming)
  const tags = [{ begin: '<|call|>yes ', schema: { type: 'boolean' }, end: '' }]
  const matcher = named.compile({ type: 'structural_tag', tags, triggers: ['<|call|>'] })
  for (const token of tokensOf('say: ')) matcher.advance(token)
  assert.ok(allows(matcher.mask(), control))
  matcher.advance(control)
  assert.deepEqual(matcher.forced(), tokensOf('yes '))
  matcher.rollback(1)
  for (const token of tokensOf('<|call|>anything')) matcher.advance(token)
  const required = named.compile({ type: 'structural_tag', tags, triggers: ['<|call|>'], atLeastOne: true })
  assert.deepEqual(required.forced(), [control, ...tokensOf('yes ')])
})

test('a trap ends the text that it happened to; the others go on in a new instance', () => {
  const schema = {
    type: 'object',
    properties: { name: { enum: ['yes', 'no'] } },
    required: ['name'],
    additionalProperties: false,
  }
  const declared = { type: 'json_schema', schema } as const
  const other = constraints.compile(declared)
  for (const token of tokensOf('{"name": "')) other.advance(token)
  const before = [...other.mask()]
  const fork = other.fork()
  // A stack that overflows is a trap.
  const poisoned = constraints.compile({ type: 'regex', pattern: 'a*' })
  const deep = (depth: number): void => {
    if (depth > 0) deep(depth - 1)
    else poisoned.mask()
  }
  const attempt = (depth: number): unknown => {
    try {
      deep(depth)
      poisoned.advance(97)
      poisoned.rollback(1)
      return
    } catch (error) {
      return error
    }
  }
  // JavaScript's calls may be the ones that overflow: a few fewer of them, and WebAssembly's do. How much stack a call takes
  // changes while it is being optimised, so this is done more than once.
  let trapped: unknown
  for (let round = 0; round < 20 && !(trapped instanceof ConstraintError); round++) {
    let depth = 1000
    for (trapped = undefined; trapped === undefined; depth += 50) trapped = attempt(depth)
    for (; !(trapped instanceof ConstraintError) && trapped !== undefined; depth--) trapped = attempt(depth)
  }
  assert.match(String(trapped), /llguidance ended/)
  assert.throws(() => poisoned.mask(), ConstraintError)
  assert.deepEqual([...fork.mask()], before)
  for (const token of tokensOf('no"')) other.advance(token)
  assert.deepEqual(
    Array.from({ length: 256 }, (_, token) => token).filter((token) => allows(other.mask(), token)),
    tokensOf('}'),
  )
  other.rollback(tokensOf('no"').length)
  assert.deepEqual([...other.mask()], before)
  assert.equal(judged(declared, '{"name": "yes"}'), 'complete')
})

test('what a text leaves behind is used by the next one of its kind, from its beginning', () => {
  const declared = { type: 'regex', pattern: '[a-c]{3}' } as const
  const first = constraints.compile(declared)
  const start = [...first.mask()]
  for (const token of tokensOf('abc')) first.advance(token)
  first.advance(ends[0]!)
  first[Symbol.dispose]()
  assert.throws(() => first.mask(), /disposed/)
  const size = constraints.size
  for (let i = 0; i < 3000; i++) {
    using again = constraints.compile(declared)
    assert.equal(again.ending, 'no')
    if (i % 500 === 0) assert.deepEqual([...again.mask()], start)
    again.advance(97)
  }
  assert.equal(constraints.size, size)
})
