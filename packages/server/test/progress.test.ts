import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { SpawnedEngine } from '@incipit/engine/spawn'
import { Ollama } from 'ollama'
import OpenAI from 'openai'
import type { ModelDirectory } from '../src/index.ts'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { missing, shallow, written } from './models.ts'
import { chunks, committed, type Served, serve } from './serve.ts'

const skip = missing(shallow)
const timeout = 60_000

interface Progress {
  total: number
  cache: number
  processed: number
  time_ms: number
}

/** Of every event of a stream that has one. */
async function progressOf(server: Served, path: string, body: object): Promise<Progress[]> {
  const text = await (await server.post(path, { ...body, stream: true })).text()
  // Of Ollama's dialect a line is an event.
  const objects = text.split('\n').flatMap((line) => /^(?:data: )?(\{.*\})$/.exec(line)?.[1] ?? [])
  return objects.flatMap((object) => {
    const { prompt_progress: progress } = JSON.parse(object) as { prompt_progress?: Progress }
    return progress ? [progress] : []
  })
}

/** It begins with what was kept, rises, and ends with the whole prompt. */
function assertRises(told: readonly Progress[], cached: (cache: number, total: number) => boolean): void {
  const { total, cache } = told[0]!
  assert.ok(cached(cache, total), `${cache} of ${total} were kept`)
  assert.equal(told[0]!.processed, cache)
  assert.equal(told.at(-1)!.processed, total)
  for (const [i, step] of told.entries()) {
    assert.deepEqual([step.total, step.cache], [total, cache])
    if (i === 0) continue
    assert.ok(step.processed > told[i - 1]!.processed)
    assert.ok(step.time_ms >= told[i - 1]!.time_ms)
  }
}

test('a long prompt says how far it is, from an engine in another process', { skip, timeout }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'incipit-progress-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const model = await written(shallow, join(folder, 'shallow.gguf'))
  const engine = await SpawnedEngine.start(model, { threads: 1, contextLength: 1024, parallel: 2, cacheDir: folder })
  t.after(() => engine.close())
  const server = await serve(t, engine)
  const document = 'The old man sat by the river and watched the boats go by. '.repeat(20)
  const messages = [{ role: 'user', content: document }]

  // Another long prompt beside it makes both run in pieces.
  const beside = server.post('/v1/completions', { prompt: `Once. ${document}`, max_tokens: 1 })
  const cold = await progressOf(server, '/v1/chat/completions', { messages, max_tokens: 2, return_progress: true })
  await (await beside).text()
  assertRises(cold, (cache) => cache === 0)
  assert.ok(cold.length >= 2)

  const question = { role: 'user', content: 'And the boats?' }
  const turn = [...messages, { role: 'assistant', content: 'Yes.' }, question]
  const warm = await progressOf(server, '/v1/chat/completions', {
    messages: turn,
    max_tokens: 2,
    return_progress: true,
  })
  assertRises(warm, (cache, total) => cache > 200 && cache < total)

  for (const [path, body] of [
    ['/v1/completions', { prompt: document, max_tokens: 2 }],
    ['/v1/completions', { prompt: document, max_tokens: 0 }],
    ['/completion', { prompt: document, n_predict: 2, cache_prompt: false }],
    ['/completion', { prompt: document, n_predict: 0 }],
    ['/v1/responses', { input: document, max_output_tokens: 2 }],
    ['/v1/responses', { input: document, prompt_cache_options: { prewarm: true } }],
    ['/v1/messages', { messages, max_tokens: 2 }],
    ['/api/chat', { messages, options: { num_predict: 2 } }],
    ['/api/generate', { prompt: document, options: { num_predict: 2 } }],
  ] as const) {
    assert.deepEqual(await progressOf(server, path, body), [], 'nobody asked')
    assertRises(await progressOf(server, path, { ...body, return_progress: true }), () => true)
  }

  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'any' })
  const body = {
    model: 'any',
    messages: [question] as [{ role: 'user'; content: string }],
    max_tokens: 8,
    temperature: 0,
    // The same request runs the same way then, also where two words are nearly as likely.
    cache_prompt: false,
  }
  const plain = await client.chat.completions.stream(body).finalContent()
  const told = { ...body, return_progress: true }
  assert.equal(await client.chat.completions.stream(told).finalContent(), plain, 'a client that does not know it')
  const response = { model: 'any', input: document, max_output_tokens: 2, return_progress: true }
  assert.equal((await client.responses.stream(response).finalResponse()).usage?.output_tokens, 2)
  const anthropic = new Anthropic({ baseURL: server.url, apiKey: 'any' })
  const message = { model: 'any', messages: body.messages, max_tokens: 2, return_progress: true }
  assert.equal((await anthropic.messages.stream(message).finalMessage()).usage.output_tokens, 2)
  const ollama = new Ollama({ host: server.url })
  const pieces = await ollama.chat({ ...message, stream: true, options: { num_predict: 2 } })
  assert.equal((await Array.fromAsync(pieces)).at(-1)!.eval_count, 2)
})

test('a stream that waits for its model says how long, in chunks that clients know', async (t) => {
  const loading = Promise.withResolvers<void>()
  const engine = fakeEngine(says(delta('Hello'), done()))
  const models: ModelDirectory = {
    failure: undefined,
    list: () => [{ name: 'slow', aliases: [], status: 'loading' }],
    async use() {
      await loading.promise
      return { name: 'slow', engine, defaults: {}, stay: () => ({ use: () => () => {} }), [Symbol.dispose]: () => {} }
    },
    useEmbedder: () => Promise.reject(new Error('none')),
    loaded: () => undefined,
    follow: () => () => {},
  }
  const server = await serve(t, models, { keepAlive: 5 })
  const messages = [{ role: 'user', content: 'Hi' }]
  const asked = { stream: true, return_progress: true }
  const chat = await server.post('/v1/chat/completions', { messages, ...asked })
  const completion = await server.post('/v1/completions', { prompt: 'Hi', ...asked })
  const native = await server.post('/completion', { prompt: 'Hi', ...asked })
  const response = await server.post('/v1/responses', { input: 'Hi', ...asked })
  const message = await server.post('/v1/messages', { messages, max_tokens: 2, ...asked })
  const lines = await server.post('/api/chat', { messages, ...asked })
  setTimeout(() => loading.resolve(), 30)
  for (const [answer, object] of [
    [chat, 'chat.completion.chunk'],
    [completion, 'text_completion'],
  ] as const) {
    const all = await chunks(answer)
    const waiting = all.filter((chunk) => 'prompt_progress' in chunk)
    assert.ok(waiting.length > 0)
    for (const chunk of waiting) {
      const { time_ms, ...rest } = (chunk as unknown as { prompt_progress: Progress }).prompt_progress
      assert.deepEqual(rest, { total: 0, cache: 0, processed: 0 })
      assert.ok(time_ms > 0)
      assert.equal(chunk.object, object)
    }
    assert.equal(committed(all), 'Hello')
  }
  assert.match(
    await native.text(),
    /^data: \{"index":0,"content":"","tokens":\[\],"stop":false,.*"prompt_progress":\{"total":0/,
  )
  assert.match(
    await response.text(),
    /^event: keepalive\ndata: \{"type":"keepalive","prompt_progress":\{"total":0[\s\S]*Hello/,
  )
  assert.match(await message.text(), /^event: ping\ndata: \{"type":"ping","prompt_progress":\{"total":0[\s\S]*Hello/)
  const [first, ...rest] = (await lines.text()).trimEnd().split('\n')
  assert.match(first!, /"message":\{"role":"assistant","content":""\},"done":false,"prompt_progress":\{"total":0/)
  assert.match(rest.at(-1)!, /"done":true/)
})
