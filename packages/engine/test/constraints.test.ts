import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Constraints } from '@incipit/constraint'
import compile from '@incipit/constraint/compiler'
import fc from 'fast-check'
import { fulfils, schemas } from '../../constraint/test/schemas.ts'
import { Engine, type EngineOptions, type GenerateEvent, type GenerateRequest } from '../src/index.ts'
import { freeRows } from './costs.ts'
import { model } from './fixtures/gguf.ts'
import { sized } from './fixtures/test-size.ts'

// What a reply must look like, compiled by @incipit/constraint, on real weights.

const smol = model('SmolLM2-135M-Instruct.Q4_1.gguf')
const stories = model('stories260K.gguf')
freeRows(() => 48)

let cacheDir: string
before(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'incipit-constraints-'))
})
after(() => rm(cacheDir, { recursive: true, force: true }))

const load = (path: string, options: EngineOptions = {}) =>
  Engine.load(path, { threads: 1, contextLength: 512, parallel: 2, cacheDir, constraints: compile, ...options })

async function replyOf(
  engine: Engine,
  request: GenerateRequest,
  each: (event: GenerateEvent, text: string) => void = () => {},
) {
  let text = ''
  for await (const event of engine.generate(request)) {
    if (event.type === 'delta') text += event.text
    each(event, text)
    if (event.type === 'done') return { text, ...event }
  }
  return assert.fail('the reply did not end')
}

const person = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 12 }, age: { type: 'integer', minimum: 0, maximum: 120 } },
  required: ['name', 'age'],
  additionalProperties: false,
}
const messages = [{ role: 'user', content: 'Invent a person with a name and an age. Answer in JSON.' }]
const constraint = { type: 'json_schema', schema: person } as const

test('a reply keeps to its schema, with guesses and without; what is forced costs no step of its own', {
  skip: smol.skip,
  timeout: 120_000,
}, async () => {
  await using engine = await load(smol.path)
  const ask = async (request: Partial<GenerateRequest>) => {
    const { text, finishReason, timings } = await replyOf(engine, { messages, maxTokens: 60, constraint, ...request })
    assert.equal(finishReason, 'stop')
    assert.ok(fulfils(person, text), text)
    return { text, timings }
  }
  const plain = await ask({ proposers: [] })
  const forced = await ask({ proposers: ['grammar'] })
  assert.equal(forced.text, plain.text)
  const { drafted = 0, accepted = 0 } = engine.stats().proposers.grammar ?? {}
  // `{"name": ` and `, "age": ` at least, and every one of them.
  assert.ok(drafted >= 5 && accepted === drafted, `${accepted} of ${drafted}`)
  const prediction = plain.text.replace(/\d+/, '7')
  assert.equal((await ask({ policy: 'provisional', minStability: 0, prediction })).text, plain.text)
  await Promise.all([1, 2, 3].map((seed) => ask({ temperature: 1, seed })))
  assert.throws(() => engine.generate({ messages, constraint: { type: 'regex', pattern: '(' } }), {
    code: 'invalid_request',
    param: 'constraint',
  })
})

test('a bound on tokens ends a reply in the middle of its structure, and a stop string in the middle of a string', {
  skip: smol.skip,
  timeout: 120_000,
}, async () => {
  await using engine = await load(smol.path)
  const whole = await replyOf(engine, { messages, maxTokens: 60, constraint })
  const cut = await replyOf(engine, { messages, maxTokens: 6, constraint })
  assert.equal(cut.finishReason, 'length')
  assert.ok(whole.text.startsWith(cut.text) && cut.text.length < whole.text.length)
  const stop = whole.text.slice(11, 13)
  const stopped = await replyOf(engine, { messages, maxTokens: 60, constraint, stop: [stop] })
  assert.equal(stopped.finishReason, 'stop')
  assert.equal(stopped.text, whole.text.slice(0, whole.text.indexOf(stop)))
})

test('a loop of one’s own', { skip: stories.skip }, async () => {
  await using engine = await load(stories.path)
  const choices = ['once upon', 'a time']
  const state = engine.createConstraint({ type: 'choice', choices })
  const { vocabulary } = engine
  const all = Array.from({ length: vocabulary.size }, (_, token) => token)
  const reply: number[] = []
  for (;;) {
    const mask = state.mask()!
    const token = all.find((token) => (mask[token >> 5]! >> (token & 31)) & 1)!
    if (vocabulary.isEndOfGeneration(token)) break
    state.advance(token)
    reply.push(token)
    // From its first letter on, the rest is forced, in the model's own tokens.
    assert.ok(all.every((other) => !vocabulary.isEndOfGeneration(other) || !((mask[other >> 5]! >> (other & 31)) & 1)))
  }
  assert.ok(choices.includes(engine.detokenize(reply)))
})

const bytes = new Constraints({
  size: 257,
  bytesOf: (token) => Uint8Array.from(token < 256 ? [token] : []),
  isEndOfGeneration: (token) => token === 256,
})

test('whatever is shown under a schema is the beginning of something valid, and what ends is valid', {
  skip: stories.skip,
  timeout: 600_000,
}, async (t) => {
  // Its own draft model: masks hold for what that guesses, too.
  await using engine = await load(stories.path, { parallel: 4, draft: stories.path })
  const story = 'Once upon a time there was a little girl who had a red ball. She played with it all day. '.repeat(8)
  const counts = { ended: 0, shown: 0, guesses: 0 }
  await fc.assert(
    fc.asyncProperty(schemas, fc.nat(600), fc.constantFrom(0, 1), fc.nat(), async (schema, from, temperature, seed) => {
      const declared = { type: 'json_schema', schema } as const
      const begins = (text: string) => {
        using matcher = bytes.compile(declared)
        const all = [...Buffer.from(text)]
        const length = matcher.allowedLength(all)
        assert.equal(
          length,
          all.length,
          `${text.slice(0, length)} [...] ${text.slice(length)} of ${JSON.stringify(schema)}`,
        )
      }
      const request: GenerateRequest = {
        prompt: story.slice(from),
        maxTokens: 40,
        constraint: declared,
        policy: 'provisional',
        minStability: 0,
        proposers: ['opening', 'skim', 'lookup', 'grammar', 'draft'],
        temperature,
        seed,
      }
      const { text, finishReason } = await replyOf(engine, request, (event, text) => {
        if (event.type !== 'provisional' || event.text === '') return
        counts.shown++
        begins(text + event.text)
      })
      begins(text)
      if (finishReason !== 'stop') return
      counts.ended++
      assert.ok(fulfils(schema, text), `${text} under ${JSON.stringify(schema)}`)
    }),
    // Most schemas force what a reply begins with, and nobody looks there: one that does not.
    { numRuns: sized(200), examples: [[{ type: 'number' }, 0, 0, 1]] },
  )
  const { proposers } = engine.stats()
  t.diagnostic(JSON.stringify({ ...counts, proposers }))
  assert.ok(counts.shown > 0 && counts.ended > 0)
  for (const name of ['grammar', 'skim', 'draft'] as const) assert.ok((proposers[name]?.drafted ?? 0) > 0, name)
})
