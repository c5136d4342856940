import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IncipitError } from '@incipit/engine/api'
import fc from 'fast-check'
import type { Tool } from '../tool.ts'
import type { ArgumentNotation } from './argument-reader.ts'
import { gemmaArguments } from './gemma-arguments.ts'
import { jsonArguments } from './json-arguments.ts'
import { xmlArguments } from './xml-arguments.ts'

const parameters = {
  type: 'object',
  properties: {
    text: { type: 'string' },
    count: { type: 'integer' },
    flag: { type: 'boolean' },
    list: { type: 'array', items: { type: 'string' } },
    inner: { type: 'object', properties: { name: { type: 'string' }, size: { type: 'number' } } },
  },
}
const tool: Tool = { name: 'f', parameters, strict: false }

/** What is read of a text that comes in pieces, and what is left of it. */
function read(notation: ArgumentNotation, pieces: readonly string[], of = tool): { json: string; rest: string } {
  const reader = notation.reader(of)
  let held = ''
  let json = ''
  for (const [i, piece] of pieces.entries()) {
    held += piece
    const taken = reader.take(held)
    json += taken.json
    held = held.slice(taken.length)
    if (taken.ended) return { json, rest: held + pieces.slice(i + 1).join('') }
  }
  assert.fail(`the arguments did not end: ${json} | ${held}`)
}

interface Values {
  text?: string
  count?: number
  flag?: boolean
  list?: string[]
  inner?: { name?: string; size?: number }
}

// Texts that look like marks, and their parts.
const marks = [
  '<|"|>',
  '<|"|',
  '\n</parameter>',
  '<parameter=a>',
  '</function>',
  '"',
  '\\',
  '{',
  '}',
  ',',
  ':',
  '🦜',
  '\n',
]
const text = fc.array(fc.oneof(fc.constantFrom(...marks), fc.string({ maxLength: 4 })), { maxLength: 4 })
const words = text.map((parts) => parts.join(''))
const values = fc.record(
  {
    text: words,
    count: fc.integer(),
    flag: fc.boolean(),
    list: fc.array(words, { maxLength: 3 }),
    inner: fc.record({ name: words, size: fc.double({ noNaN: true, noDefaultInfinity: true }) }, { requiredKeys: [] }),
  },
  { requiredKeys: [] },
)

/** A value as Gemma 4 writes it. */
function gemma(value: unknown): string {
  if (typeof value === 'string') return `<|"|>${value}<|"|>`
  if (Array.isArray(value)) return `[${value.map(gemma).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${Object.entries(value)
    .map(([name, inner]) => `${name}:${gemma(inner)}`)
    .join(',')}}`
}

function xml(of: Values): string {
  const written = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
  return Object.entries(of)
    .map(([name, value]) => `<parameter=${name}>\n${written(value)}\n</parameter>\n`)
    .join('')
}

const conventions = [
  {
    name: 'JSON',
    notation: jsonArguments,
    written: (of: Values) => JSON.stringify(of),
    end: '}\n</tool_call>',
    can: () => true,
  },
  {
    name: 'Qwen3-Coder',
    notation: xmlArguments,
    written: xml,
    end: '</function>\n</tool_call>',
    can: (of: Values) => !of.text?.includes('\n</parameter>'),
  },
  {
    name: 'Gemma 4',
    notation: gemmaArguments,
    written: (of: Values) => gemma(of).slice(1, -1),
    end: '}<tool_call|>',
    can: (of: Values) => !JSON.stringify(of).includes('<|\\"|>'),
  },
]

for (const { name, notation, written, end, can } of conventions) {
  test(`${name}: what was written is read, wherever its pieces end`, () => {
    let tried = 0
    fc.assert(
      fc.property(values, fc.array(fc.nat(200), { maxLength: 8 }), (of, places) => {
        fc.pre(can(of))
        tried++
        const whole = written(of) + end
        const cuts = [0, ...places.map((at) => at % (whole.length + 1)).sort((a, b) => a - b), whole.length]
        const ways = [[whole], [...whole], cuts.slice(1).map((to, i) => whole.slice(cuts[i], to))]
        for (const pieces of ways) {
          const { json, rest } = read(notation, pieces)
          assert.deepEqual(JSON.parse(json), JSON.parse(JSON.stringify(of)), json)
          assert.equal(rest, end)
        }
      }),
      { numRuns: 300 },
    )
    assert.ok(tried > 100)
  })

  test(`${name}: a clone goes its own way`, () => {
    const reader = notation.reader(tool)
    const whole = written({ text: 'a', count: 1 })
    for (let at = 1; at < whole.length; at++) {
      const first = notation.reader(tool)
      const taken = first.take(whole.slice(0, at))
      const rest = whole.slice(taken.length) + end
      const ends = [first.clone(), first].map((one) => taken.json + one.take(rest).json)
      assert.deepEqual(
        ends.map((json) => JSON.parse(json)),
        [
          { text: 'a', count: 1 },
          { text: 'a', count: 1 },
        ],
      )
    }
    assert.ok(!reader.take('').ended)
  })
}

test('texts are told while they come', () => {
  for (const [notation, begin] of [
    [xmlArguments, '<parameter=text>\n'],
    [gemmaArguments, 'text:<|"|>'],
  ] as const) {
    const reader = notation.reader(tool)
    reader.take(begin)
    assert.equal(reader.take('a "word" and').json, 'a \\"word\\" and')
  }
})

test('Qwen3-Coder: what may be a text or something else is told at its end', () => {
  const either = {
    name: 'f',
    strict: false,
    parameters: { type: 'object', properties: { a: {}, b: { type: ['string', 'null'] } } },
  }
  const asked = (a: string, b: string) =>
    JSON.parse(read(xmlArguments, [`${xml({ a, b } as Values)}</function>`], either).json)
  assert.deepEqual(asked('12', '12'), { a: 12, b: '12' })
  assert.deepEqual(asked('{"x": [1]}', 'null'), { a: { x: [1] }, b: null })
  assert.deepEqual(asked('"a"', 'plain'), { a: '"a"', b: 'plain' })
})

test('a strict schema that a convention cannot be held to is refused', () => {
  const strict = (schema: object): Tool => ({
    name: 'f',
    strict: true,
    parameters: { type: 'object', properties: { a: schema } },
  })
  const refused = (notation: ArgumentNotation, schema: object) =>
    assert.throws(
      () => notation.grammar(strict(schema)),
      (error) => error instanceof IncipitError && error.code === 'invalid_request' && error.param === 'tools',
    )
  for (const schema of [{ type: 'string', pattern: '^a' }, { type: ['string', 'integer'] }]) {
    refused(xmlArguments, schema)
    refused(gemmaArguments, schema)
  }
  refused(gemmaArguments, { type: 'array', items: { type: 'string' }, maxItems: 2 })
  for (const schema of [{ type: 'string', maxLength: 3 }, { enum: ['a', 'b'] }, { type: 'integer', minimum: 1 }]) {
    assert.ok(xmlArguments.grammar(strict(schema)).parts)
    assert.ok(gemmaArguments.grammar(strict(schema)).parts)
  }
})
