import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sized } from '../../test/fixtures/test-size.ts'
import { IncipitError } from '../api/errors.ts'
import { ProtocolError } from './checks.ts'
import type { FromChild, ToChild } from './messages.ts'
import { decodeFromChild, decodeToChild, encodeFromChild, encodeToChild, plain, thrown } from './protocol.ts'

const runs = { numRuns: sized(4000) }
const text = fc.string({ unit: 'binary' })
const count = fc.nat()
const tokens = fc.array(count, { maxLength: 20 })
const pieces = fc.array(fc.oneof(count, text), { maxLength: 20 })
const messages = fc.array(fc.record({ role: fc.constantFrom('user', 'assistant'), content: text }))
const request = fc.record(
  { prompt: fc.oneof(text, pieces), messages, maxTokens: count, stop: fc.array(text), seed: fc.integer() },
  { requiredKeys: [] },
)
const wants = fc.record({ progress: fc.boolean(), preview: fc.boolean() })
const life = fc.record({
  tokens,
  scored: count,
  elapsedMs: fc.double({ min: 0, max: 1e9, noNaN: true }).map((ms) => ms + 0),
  committedMs: fc.option(fc.nat()),
  rev: count,
})

const toChild: fc.Arbitrary<ToChild> = fc.oneof(
  fc.record({
    type: fc.constant('load' as const),
    version: count,
    path: text,
    options: fc.record({ hangMs: count, parallel: count }),
  }),
  fc.record({
    type: fc.constant('loadEmbedder' as const),
    version: count,
    path: text,
    options: fc.record({ hangMs: count, contextLength: count }),
  }),
  fc.record({ type: fc.constant('threads' as const), most: count }),
  fc.record({ type: fc.constant('generate' as const), id: count, request }),
  fc.record({ type: fc.constant('generate' as const), id: count, request, life }),
  fc.record({ type: fc.constant('respond' as const), id: count, input: count, request }),
  fc.record({ type: fc.constant('hold' as const), id: count, held: fc.boolean() }),
  fc.record({ type: fc.constant('cancel' as const), id: count }),
  fc.record({
    type: fc.constant('call' as const),
    id: count,
    call: fc.oneof(
      fc.record({ method: fc.constant('prefill' as const), request }),
      fc.record({ method: fc.constant('pinPrefix' as const), name: text, request }),
      fc.record({ method: fc.constant('tokenize' as const), text, special: fc.boolean() }),
      fc.record({
        method: fc.constantFrom('detokenize' as const, 'tokenBytes' as const),
        tokens,
        special: fc.boolean(),
      }),
      fc.record({ method: fc.constant('embed' as const), inputs: fc.array(fc.oneof(text, tokens)) }),
      fc.record({
        method: fc.constantFrom('stats' as const, 'costProfile' as const, 'audit' as const, 'idle' as const),
      }),
    ),
  }),
  fc.record({
    type: fc.constant('open' as const),
    input: count,
    options: fc.record(
      { messages, raw: fc.boolean(), frame: fc.record({ before: pieces, after: pieces }) },
      { requiredKeys: ['messages', 'raw'] },
    ),
    text,
    wants,
  }),
  fc.record({ type: fc.constant('replace' as const), input: count, base: count, text }),
  fc.record({ type: fc.constant('configure' as const), input: count, options: fc.record({ messages }), wants }),
  fc.record({ type: fc.constantFrom('commit' as const, 'closeInput' as const), input: count }),
  fc.record({
    type: fc.constant('watch' as const),
    watch: count,
    options: fc.record({ namespace: text, others: count }),
  }),
  fc.record({ type: fc.constant('unwatch' as const), watch: count }),
  fc.record({ type: fc.constantFrom('ping' as const, 'close' as const) }),
)

const bytes = fc.array(fc.nat(255), { maxLength: 4 })
const logprob = fc.record({ token: count, bytes, logprob: fc.oneof(fc.integer({ max: -1 }), fc.constant(-Infinity)) })
const delta: fc.Arbitrary<FromChild> = fc
  .record({
    id: count,
    text,
    tokens,
    logprobs: fc.option(
      fc.array(fc.record({ token: count, bytes, logprob: fc.constant(-1), top: fc.array(logprob) })),
      {
        nil: undefined,
      },
    ),
  })
  .map(({ id, text, tokens, logprobs }) => ({
    type: 'event',
    id,
    event: { type: 'delta', text, tokens: tokens.length, ...(logprobs && { logprobs }) },
    tokens,
  }))
const scored = fc.record({ token: count, bytes, logprob: fc.constantFrom(-1, -Infinity), top: fc.array(logprob) })
const prompt: fc.Arbitrary<FromChild> = fc
  .record({ id: count, from: fc.nat(2), tokens: fc.array(scored, { minLength: 1 }) })
  .map(({ id, from, tokens }) => {
    const first = { ...tokens[0]!, logprob: null, top: [] }
    const told = from === 0 ? [first, ...tokens.slice(1)] : tokens
    return { type: 'event', id, event: { type: 'prompt', from, tokens: told } }
  })
const fromChild: fc.Arbitrary<FromChild> = fc.oneof(
  { arbitrary: delta, weight: 4 },
  prompt,
  fc.record({ type: fc.constantFrom('pong' as const, 'closed' as const) }),
  fc.record({ type: fc.constant('accepted' as const), id: count }),
  fc.record({ type: fc.constant('result' as const), id: count, value: fc.oneof(text, count, tokens) }),
  fc.record({ type: fc.constant('trace' as const), line: text }),
  fc.record({ type: fc.constant('late' as const), ms: count, mostMs: count }),
  fc.record({ type: fc.constant('log' as const), level: fc.constantFrom('info' as const), message: text }),
  fc.record({
    type: fc.constant('failed' as const),
    id: count,
    error: fc.record({ message: text, code: fc.constantFrom('overloaded' as const, 'invalid_request' as const) }),
  }),
  fc.record({
    type: fc.constant('event' as const),
    id: count,
    event: fc.record({
      type: fc.constant('provisional' as const),
      rev: count,
      base: count,
      text,
      tokens: count,
      stability: fc.constantFrom(0, 0.5, 1),
      source: fc.constantFrom('exit' as const, 'input' as const),
      reason: fc.constantFrom('mismatch' as const, 'restart' as const),
    }),
  }),
  fc.record({
    type: fc.constant('event' as const),
    id: count,
    event: fc.record({
      type: fc.constant('progress' as const),
      promptTokens: count,
      cachedTokens: count,
      computedTokens: count,
      ms: fc.constantFrom(0, 2.5),
    }),
  }),
)

test('every message to the child comes back as it was', () => {
  fc.assert(
    fc.property(toChild, (message) => {
      const line = encodeToChild(message)
      assert(!line.includes('\n'))
      assert.deepEqual(JSON.parse(JSON.stringify(decodeToChild(line))), JSON.parse(JSON.stringify(message)))
    }),
    runs,
  )
})

test('every line from the child comes back as it was, likelihoods of nothing included', () => {
  fc.assert(
    fc.property(fc.array(fromChild, { maxLength: 6 }), (messages) => {
      const line = `[${messages.map(encodeFromChild).join()}]`
      assert(!line.includes('\n'))
      assert.deepEqual(decodeFromChild(line), structuredClone(messages))
    }),
    runs,
  )
})

/** Makes something wrong, or something else that is right, out of a line. */
const damage = fc.record({ at: fc.nat(), remove: fc.nat({ max: 8 }), insert: fc.string({ maxLength: 4 }) })

function damaged(line: string, { at, remove, insert }: { at: number; remove: number; insert: string }): string {
  const from = at % (line.length + 1)
  return line.slice(0, from) + insert + line.slice(from + remove)
}

function decodesOrRefuses(decode: (line: string) => unknown, line: string): void {
  try {
    decode(line)
  } catch (error) {
    assert(error instanceof ProtocolError, `${line}: ${error}`)
    assert.notEqual(error.message, '')
  }
}

test('whatever comes instead of a message is a named error', () => {
  const anything = fc.oneof(fc.string(), fc.json())
  fc.assert(
    fc.property(anything, (line) => {
      decodesOrRefuses(decodeToChild, line)
      decodesOrRefuses(decodeFromChild, line)
    }),
    runs,
  )
  fc.assert(
    fc.property(toChild, damage, (message, how) =>
      decodesOrRefuses(decodeToChild, damaged(encodeToChild(message), how)),
    ),
    runs,
  )
  fc.assert(
    fc.property(fc.array(fromChild, { minLength: 1, maxLength: 3 }), damage, (messages, how) =>
      decodesOrRefuses(decodeFromChild, damaged(`[${messages.map(encodeFromChild).join()}]`, how)),
    ),
    runs,
  )
})

test('an error names the place', () => {
  const line = JSON.stringify({ type: 'replace', input: 1, base: -1, text: 'x' })
  assert.throws(() => decodeToChild(line), {
    name: 'ProtocolError',
    message: 'message replace.base must be a whole number from 0 on, not number',
  })
  assert.throws(() => decodeToChild('{"type":"__proto__"}'), { message: 'message.type: "__proto__" is unknown' })
  assert.throws(() => decodeFromChild('[[1,"a",[1,"b"]]]'), { message: /^delta\.tokens\[1\] must be/ })
})

test('what is no plain data is refused before it is sent', () => {
  const schema: { self?: unknown } = {}
  schema.self = schema
  const request = { prompt: 'x', constraint: { type: 'json_schema' as const, schema } }
  assert.throws(() => encodeToChild({ type: 'generate', id: 1, request }), { code: 'invalid_request' })
})

test('errors keep code and parameter', () => {
  const error = thrown(plain(new IncipitError('invalid_request', 'no', { param: 'seed' })))
  assert(error instanceof IncipitError)
  assert.deepEqual([error.code, error.param, error.message], ['invalid_request', 'seed', 'no'])
  assert.equal(thrown(plain(new TypeError('odd'))).message, 'odd')
  assert.equal(thrown(plain('odd')).message, 'odd')
})
