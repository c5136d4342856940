import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import Anthropic from '@anthropic-ai/sdk'
import { IncipitError } from '@incipit/engine/api'
import { streamText } from 'ai'
import OpenAI from 'openai'
import type { ModelDirectory } from '../src/index.ts'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { type Chunk, chunks, committed, serve } from './serve.ts'

const chat = { messages: [{ role: 'user', content: 'Hi' }] }

test('the only model answers to every name, unless it is strict', async (t) => {
  const engine = () => fakeEngine(says(delta('Hello'), done()))
  const easy = await serve(t, engine(), { modelName: 'a' })
  const strict = await serve(t, engine(), { modelName: 'a', strictModel: true })
  const ask = async (server: typeof easy, model: unknown) => {
    const answer = await server.post('/v1/chat/completions', { ...chat, model })
    const { error, model: name } = (await answer.json()) as Chunk
    return error?.code ?? name
  }
  for (const model of ['a', 'b', '', null, undefined]) assert.equal(await ask(easy, model), 'a')
  for (const model of ['a', '', null, undefined]) assert.equal(await ask(strict, model), 'a')
  assert.equal(await ask(strict, 'b'), 'model_not_found')
})

/** A directory with one model that is loaded when it is told to be. */
function loadingModel() {
  const loading = Promise.withResolvers<void>()
  // It may be refused before anybody asks.
  loading.promise.catch(() => {})
  const model = { name: 'slow', engine: fakeEngine(says(delta('Hello'), done())), defaults: {} }
  const counts = { used: 0, released: 0 }
  const stay = () => ({ use: () => () => {} })
  const models: ModelDirectory = {
    failure: undefined,
    list: () => [{ name: 'slow', aliases: ['s'], status: 'loading' }],
    async use() {
      counts.used++
      await loading.promise
      return { ...model, stay, [Symbol.dispose]: () => counts.released++ }
    },
    useEmbedder: () => Promise.reject(new Error('none')),
    loaded: () => undefined,
    follow: () => () => {},
  }
  return { models, counts, ...loading }
}

test('a stream that waits for its model sends comments, and then what every stream does', async (t) => {
  const { models, counts, resolve } = loadingModel()
  const server = await serve(t, models, { keepAlive: 10 })
  const answer = await server.post('/v1/chat/completions', { ...chat, stream: true })
  assert.equal(answer.status, 200)
  assert.match(answer.headers.get('content-type')!, /^text\/event-stream/)
  assert.match(answer.headers.get('x-request-id')!, /^req_/)
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (text.split(': the model is loading\n\n').length < 3) text += (await reader.read()).value
  resolve()
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value
  const rest = text.replaceAll(': the model is loading\n\n', '')
  assert.match(rest, /^data: .*"role":"assistant".*\n\ndata: .*"content":"Hello"/)
  assert.match(rest, /data: \[DONE\]\n\n$/)
  assert.deepEqual(counts, { used: 1, released: 1 })
})

test('clients pass over the comments', async (t) => {
  const read = {
    async openai(url: string) {
      const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
      const body = { model: 'slow', messages: [{ role: 'user' as const, content: 'Hi' }] }
      const { choices } = await openai.chat.completions.stream(body).finalChatCompletion()
      return choices[0]!.message.content
    },
    async responses(url: string) {
      const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
      return (await openai.responses.stream({ model: 'slow', input: 'Hi' }).finalResponse()).output_text
    },
    async anthropic(url: string) {
      const anthropic = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 })
      const messages = [{ role: 'user' as const, content: 'Hi' }]
      return await anthropic.messages.stream({ model: 'slow', max_tokens: 9, messages }).finalText()
    },
    async 'AI SDK'(url: string) {
      const incipit = createOpenAICompatible({ name: 'incipit', baseURL: `${url}/v1` })
      return await streamText({ model: incipit('slow'), prompt: 'Hi', maxRetries: 0 }).text
    },
  }
  for (const [name, text] of Object.entries(read)) {
    const { models, resolve } = loadingModel()
    const { url } = await serve(t, models, { keepAlive: 5 })
    const reading = text(url)
    await sleep(60)
    resolve()
    assert.equal(await reading, 'Hello', name)
  }
})

test('a model that cannot be loaded is a status before the first comment, and the last event behind it', async (t) => {
  const error = new IncipitError('context_memory', 'too large')
  const soon = loadingModel()
  const early = await serve(t, soon.models)
  soon.reject(error)
  assert.equal((await early.post('/v1/chat/completions', { ...chat, stream: true })).status, 507)

  const { models, reject } = loadingModel()
  const server = await serve(t, models, { keepAlive: 5 })
  const answer = await server.post('/v1/completions', { prompt: 'a', stream: true })
  reject(error)
  assert.equal(answer.status, 200)
  const last = (await answer.text()).split('\n\n').at(-2)!
  assert.equal((JSON.parse(last.slice('data: '.length)) as Chunk).error?.code, 'context_memory')
})

test('without a stream an answer waits, and a fast model needs no comment', async (t) => {
  const { models, resolve } = loadingModel()
  const server = await serve(t, models, { keepAlive: 5 })
  const waiting = server.post('/v1/chat/completions', chat)
  await sleep(20)
  resolve()
  assert.equal(((await (await waiting).json()) as Chunk).choices[0]?.message?.content, 'Hello')
  const streamed = await chunks(await server.post('/v1/chat/completions', { ...chat, stream: true }))
  assert.equal(committed(streamed), 'Hello')
})

test('a body that is refused loads nothing', async (t) => {
  const { models, counts } = loadingModel()
  const server = await serve(t, models)
  assert.equal((await server.post('/v1/chat/completions', { messages: [] })).status, 400)
  assert.equal(counts.used, 0)
})

test('models are listed with their aliases and found by them', async (t) => {
  const server = await serve(t, loadingModel().models)
  const { data } = (await (await server.get('/v1/models')).json()) as { data: Record<string, unknown>[] }
  assert.equal(data.length, 1)
  const { created, ...card } = data[0]!
  assert.equal(typeof created, 'number')
  const expected = { id: 'slow', object: 'model', owned_by: 'incipit', aliases: ['s'], status: { value: 'loading' } }
  assert.deepEqual(card, expected)
  assert.equal(((await (await server.get('/v1/models/s')).json()) as { id: string }).id, 'slow')
})
