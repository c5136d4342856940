import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { SpawnedEngine } from '@incipit/engine/spawn'
import { chatModel, chatStories, missing, written } from './models.ts'
import { RealtimeClient } from './realtime-client.ts'
import { type Chunk, events, serve } from './serve.ts'

/* A server over an engine in another process: what takes a way there and back is answered as ever. */

const skip = missing(chatStories)
const options = { skip, timeout: 120_000 }

const constraints = import.meta.resolve('@incipit/constraint/compiler')

let folder: string
let chat: string
let slower: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'incipit-spawned-'))
  if (!skip) chat = await written(chatStories, join(folder, 'chat.gguf'))
  if (!missing(chatModel)) slower = await written(chatModel, join(folder, 'slower.gguf'))
})
after(() => rm(folder, { recursive: true, force: true }))

async function spawned(t: { after(fn: () => Promise<void>): void }, path = chat, contextLength = 512) {
  const engine = await SpawnedEngine.start(path, {
    threads: 1,
    contextLength,
    parallel: 2,
    constraints,
    cacheDir: folder,
  })
  t.after(() => engine.close())
  return engine
}

const messages = [{ role: 'user', content: 'Name three colours.' }]

test('what only the model can refuse has its status, also in a stream', options, async (t) => {
  const server = await serve(t, await spawned(t))
  for (const stream of [true, false]) {
    const prompt = 'word '.repeat(2000)
    const answer = await server.post('/v1/completions', { prompt, stream, max_tokens: 4 })
    assert.equal(answer.status, 400)
    assert.equal(((await answer.json()) as Chunk).error?.code, 'context_length_exceeded')
  }
})

test('a client that leaves frees the engine', { ...options, skip: missing(chatModel) }, async (t) => {
  // The smaller model would be done before its reader has left.
  const engine = await spawned(t, slower)
  const server = await serve(t, engine)
  const controller = new AbortController()
  const body = { prompt: 'Once upon a time', max_tokens: 400, temperature: 1, seed: 1, stream: true }
  const answer = await server.post('/v1/completions', body, { signal: controller.signal })
  let seen = 0
  await assert.rejects(
    async () => {
      for await (const event of events(answer)) {
        assert.notEqual(event, '[DONE]')
        if (++seen === 3) controller.abort()
      }
    },
    { name: 'AbortError' },
  )
  const left = performance.now()
  while ((await engine.stats()).running > 0) {
    assert(performance.now() - left < 5000)
    await sleep(5)
  }
})

test('a long prompt that may wait holds up nobody', { ...options, skip: missing(chatModel) }, async (t) => {
  const engine = await spawned(t, slower, 1024)
  const server = await serve(t, engine)
  let over = false
  const long = { prompt: 'word '.repeat(900), max_tokens: 1, tier: 'batch' }
  const answered = server.post('/v1/completions', long).then((answer) => {
    over = true
    return answer.text()
  })
  while ((await engine.stats()).running === 0) await sleep(1)
  for (const path of ['/health', '/slots', '/metrics']) assert.equal((await server.get(path)).status, 200)
  const soon = await server.post('/v1/chat/completions', { messages, max_tokens: 1, tier: 'npc' })
  assert.equal(soon.status, 200)
  await soon.text()
  assert.equal(over, false)
  await answered
})

test('a typed conversation goes on through a death of the engine', options, async (t) => {
  const engine = await spawned(t)
  const server = await serve(t, engine)
  const client = await RealtimeClient.open(server)
  await client.configure({ temperature: 0, max_output_tokens: 12 })
  const ask = async (content: string) => {
    client.send('input_text.append', { text: content })
    client.send('input_text.commit')
    client.send('response.create')
    return await client.reply()
  }
  const first = await ask('Name three colours.')
  process.kill(engine.pid!, 'SIGKILL')
  const second = await ask('And three animals.')
  const whole = [
    ...messages,
    { role: 'assistant', content: first.text },
    { role: 'user', content: 'And three animals.' },
  ]
  const body = { messages: whole, temperature: 0, max_tokens: 12 }
  const posted = (await (await server.post('/v1/chat/completions', body)).json()) as Chunk
  assert.equal(second.usage?.prompt_tokens, posted.usage?.prompt_tokens)
})

test('the form of a session, and that of a response, hold in the other process', options, async (t) => {
  const server = await serve(t, await spawned(t))
  const client = await RealtimeClient.open(server)
  await client.configure({ temperature: 0, max_output_tokens: 8, guided_choice: ['yes', 'no'] })
  assert.match((await client.ask('Is the sky blue?')).text, /^(yes|no)$/)
  client.send('response.create', { response: { guided_choice: ['red', 'blue'], instructions: 'Name a colour.' } })
  assert.match((await client.reply()).text, /^(red|blue)$/)
  const months = [{ role: 'user', content: 'List the months of the year.' }]
  client.send('conversation.replace', { messages: months })
  client.send('response.create', { response: { response_format: { type: 'text' } } })
  assert.doesNotMatch((await client.reply()).text, /^(yes|no)$/)
  await client.configure({ guided_choice: null })
  client.send('conversation.replace', { messages: months })
  client.send('response.create')
  assert.doesNotMatch((await client.reply()).text, /^(yes|no)$/)
  await client.close()
})
