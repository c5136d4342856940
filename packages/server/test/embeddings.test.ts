import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Embedder } from '@incipit/engine'
import OpenAI from 'openai'
import { ModelPool, type PoolModel } from '../src/index.ts'
import { loadedBert } from './bert.ts'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { missing, pathOf, stories } from './models.ts'
import { type Chunk, serve } from './serve.ts'

/* /v1/embeddings: an encoder with random weights, and a model that says one token after the other. */

const encoder = loadedBert()

const engine = () => fakeEngine(says(delta('Hello'), done()))
const served = (t: TestContext) => serve(t, engine(), { embedder: encoder(), modelName: 'bert' })

async function refused(answer: Response, status: number, code: string, param: string): Promise<void> {
  const { error } = (await answer.json()) as Chunk
  assert.deepEqual([answer.status, error?.code, error?.param], [status, code, param])
}

test('the official client gets a vector for each input, in both encodings', async (t) => {
  const server = await served(t)
  const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
  const input = ['Hello world', 'And a river.', 'Hello world']
  // Without a format the client asks for base64 and decodes it.
  const packed = await openai.embeddings.create({ model: 'bert', input })
  const plain = await openai.embeddings.create({ model: 'bert', input, encoding_format: 'float' })
  const { vectors, tokens } = await encoder().embed(input)
  assert.equal(packed.object, 'list')
  assert.equal(packed.model, 'bert')
  assert.deepEqual(packed.usage, { prompt_tokens: tokens, total_tokens: tokens })
  assert.equal('warning' in packed, false)
  for (const { data } of [packed, plain]) {
    assert.deepEqual(
      data.map(({ index, object }) => [index, object]),
      [0, 1, 2].map((index) => [index, 'embedding']),
    )
    for (const [i, { embedding }] of data.entries()) {
      assert.equal(embedding.length, 32)
      for (const [j, value] of embedding.entries()) assert(Math.abs(value - vectors[i]![j]!) < 1e-6)
    }
  }
})

test('a text, tokens, and lists of them', async (t) => {
  const server = await served(t)
  const ask = async (input: unknown) => {
    const answer = await server.post('/v1/embeddings', { model: 'bert', input })
    return ((await answer.json()) as { data: { embedding: number[] }[] }).data.map(({ embedding }) => embedding)
  }
  const [ab] = await ask('ab')
  assert.equal((await ask('ab')).length, 1)
  for (const input of [[2, 5, 49, 3], [[2, 5, 49, 3]], ['ab'], ['ab', [2, 5, 49, 3]]]) {
    for (const vector of await ask(input)) {
      for (const [i, value] of vector.entries()) assert(Math.abs(value - ab![i]!) < 1e-5)
    }
  }
})

test('fewer dimensions are the first ones, of length 1 together', async (t) => {
  const server = await served(t)
  const body = { model: 'bert', input: 'Hello', dimensions: 8 }
  const { data } = (await (await server.post('/v1/embeddings', body)).json()) as { data: { embedding: number[] }[] }
  const { embedding } = data[0]!
  assert.equal(embedding.length, 8)
  assert(Math.abs(Math.hypot(...embedding) - 1) < 1e-5)
  const whole = (await encoder().embed(['Hello'])).vectors[0]!
  assert(Math.abs(embedding[1]! / embedding[0]! - whole[1]! / whole[0]!) < 1e-4)
  await refused(await server.post('/v1/embeddings', { ...body, dimensions: 33 }), 400, 'invalid_request', 'dimensions')
  await refused(await server.post('/v1/embeddings', { ...body, dimensions: 0 }), 400, 'invalid_request', 'dimensions')
})

test('malformed inputs are refused', async (t) => {
  const server = await served(t)
  const post = (input: unknown, more = {}) => server.post('/v1/embeddings', { model: 'bert', input, ...more })
  for (const input of ['', [], 7, null, undefined, {}, [[]]]) {
    const { error } = (await (await post(input)).json()) as Chunk
    assert.equal(error?.code, 'invalid_request', JSON.stringify(input))
    assert.match(error.param!, /^input/)
  }
  await refused(await post(['a', '']), 400, 'invalid_request', 'input[1]')
  await refused(await post(['a', -1]), 400, 'invalid_request', 'input[1]')
  await refused(await post(Array(2049).fill('a')), 400, 'invalid_request', 'input')
  await refused(await post([91]), 400, 'invalid_request', 'input')
  await refused(await post('a', { encoding_format: 'hex' }), 400, 'invalid_request', 'encoding_format')
  const { error } = (await (await post('a'.repeat(500))).json()) as Chunk
  assert.match(error!.code, /^context_/)
})

test('a server without an embedder says so', async (t) => {
  const server = await serve(t, engine(), { modelName: 'a' })
  await refused(await server.post('/v1/embeddings', { input: 'a' }), 400, 'unsupported', 'model')
})

test('a pool asks each model for what it makes, and says what is no model for embeddings', {
  skip: missing(stories),
}, async (t) => {
  const spec = { weights: 1, idleMs: Number.POSITIVE_INFINITY }
  const chat: PoolModel = {
    ...spec,
    name: 'stories',
    start: async () => ({ ...engine(), close: async () => {}, limitThreads: () => {} }),
    startEmbedder: () => Embedder.load(pathOf(stories), { threads: 1 }),
  }
  const bert: PoolModel = {
    ...spec,
    name: 'bert',
    startEmbedder: async () => ({
      info: encoder().info,
      embed: (inputs) => encoder().embed(inputs),
      close: async () => {},
      limitThreads: () => {},
    }),
  }
  await using pool = new ModelPool([chat, bert], { memory: 10_000_000_000 })
  const server = await serve(t, pool)
  const embed = async (model?: string) =>
    (await (await server.post('/v1/embeddings', { model, input: 'Hello' })).json()) as {
      model: string
      data: { embedding: number[] }[]
      warning?: string
    }
  const mean = await embed('stories')
  assert.equal(mean.data[0]?.embedding.length, 64)
  assert.match(mean.warning!, /not made for embeddings/)
  // Who names no model gets one that was made for it.
  for (const answer of [await embed('bert'), await embed()]) {
    assert.deepEqual([answer.model, answer.data[0]?.embedding.length, answer.warning], ['bert', 32, undefined])
  }
  const messages = [{ role: 'user', content: 'Hi' }]
  await refused(await server.post('/v1/chat/completions', { model: 'bert', messages }), 400, 'unsupported', 'model')
  assert.equal((await server.post('/v1/chat/completions', { messages })).status, 200)
  await refused(await server.post('/v1/embeddings', { model: 'x', input: 'a' }), 404, 'model_not_found', 'model')
})
