import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IncipitError } from '@incipit/engine/api'
import { Ollama } from 'ollama'
import type { ModelDirectory } from '../src/index.ts'
import { loadedBert } from './bert.ts'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { serve } from './serve.ts'

// Which model answers, and vectors, in the dialects of others.

const encoder = loadedBert()

const messages = [{ role: 'user', content: 'Hi' }]
const engine = () => fakeEngine(says(delta('Hello'), done()))
const asked: readonly (readonly [string, object])[] = [
  ['/v1/messages', { messages, max_tokens: 4 }],
  ['/v1/messages/count_tokens', { messages }],
  ['/api/chat', { messages }],
  ['/api/generate', { prompt: 'Hi' }],
  ['/api/show', {}],
  ['/api/embed', { input: 'Hi' }],
  ['/completion', { prompt: 'Hi' }],
  ['/infill', { input_prefix: 'a', input_suffix: 'b' }],
  ['/tokenize', { content: 'Hi' }],
  ['/detokenize', { tokens: [1] }],
  ['/apply-template', { messages }],
]

test('a model that is not served is not found, in every dialect', async (t) => {
  const { post } = await serve(t, engine(), { modelName: 'a', strictModel: true })
  for (const [path, body] of asked) {
    const answer = await post(path, { ...body, model: 'b' })
    assert.equal(answer.status, 404, path)
    assert.match(await answer.text(), /\\"b\\" is not served here/, path)
  }
})

test('an error after the wait for a model has the shape of the dialect', async (t) => {
  const loading = Promise.withResolvers<never>()
  const models: ModelDirectory = {
    failure: undefined,
    list: () => [{ name: 'slow', aliases: ['s'], status: 'loading' }],
    use: () => loading.promise,
    useEmbedder: () => loading.promise,
    loaded: () => undefined,
    follow: () => () => {},
  }
  const { get, post } = await serve(t, models, { keepAlive: 10 })
  const message = await post('/v1/messages', { messages, max_tokens: 4, stream: true })
  const completion = await post('/completion', { prompt: 'Hi', stream: true })
  const chat = post('/api/chat', { messages })
  // Who only asks what there is does not wait.
  const { models: listed } = (await (await get('/api/tags')).json()) as { models: { name: string }[] }
  assert.deepEqual(
    listed.map(({ name }) => name),
    ['slow'],
  )
  assert.deepEqual(await (await get('/api/ps')).json(), { models: [] })
  assert.equal((await post('/api/show', { model: 's' })).status, 200)
  loading.reject(new IncipitError('context_memory', 'too large'))
  assert.match(await message.text(), /\n\nevent: error\ndata: \{"type":"error","error":\{"type":"api_error".*too large/)
  assert.match(await completion.text(), /\n\ndata: \{"error":\{"code":507,"message":"too large"/)
  const answer = await chat
  assert.deepEqual([answer.status, await answer.json()], [507, { error: 'too large' }])
})

/** What is computed in other company differs in the last bits. */
function assertClose(vector: readonly number[], expected: Float32Array): void {
  assert.equal(vector.length, expected.length)
  for (const [i, value] of vector.entries()) assert.ok(Math.abs(value - expected[i]!) < 1e-5)
}

test('Ollama’s client gets vectors', async (t) => {
  const { url } = await serve(t, engine(), { embedder: encoder(), modelName: 'bert' })
  const ollama = new Ollama({ host: url })
  const input = ['Hello world', 'And a river.']
  const { vectors, tokens } = await encoder().embed(input)
  const many = await ollama.embed({ model: 'any', input })
  assert.equal(many.embeddings.length, 2)
  assertClose(many.embeddings[0]!, vectors[0]!)
  assertClose(many.embeddings[1]!, vectors[1]!)
  assert.deepEqual([many.model, many.prompt_eval_count], ['bert', tokens])
  assert.ok(Number.isInteger(many.total_duration) && many.total_duration > 0)
  const one = await ollama.embeddings({ model: 'any', prompt: input[0]! })
  assertClose(one.embedding, vectors[0]!)
  const short = await ollama.embed({ model: 'any', input: input[0]!, dimensions: 4 })
  assert.equal(short.embeddings[0]?.length, 4)
  await assert.rejects(ollama.embed({ model: 'any', input: [] }), /input/)
})
