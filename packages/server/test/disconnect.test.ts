import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { loaded, missing, settled, shallow } from './models.ts'
import { events, serve } from './serve.ts'

const skip = missing(shallow)
// One request at a time, so that a second one waits.
const engine = loaded(shallow, { contextLength: 2048, parallel: 1 })

// Without a cut these would run for many seconds: a prompt of 1,500 tokens, and replies as long as the context allows.
const long = { prompt: 'The river runs to the sea and the sea is wide. '.repeat(125), temperature: 0, max_tokens: 400 }
const talkative = { prompt: 'Once upon a time', temperature: 1, seed: 1, max_tokens: 2000 }
/** Milliseconds; an abort takes about ten, the rest is for a busy machine. */
const soon = 2000

/** Waits until the engine works on something. */
async function busy(condition: () => boolean = () => engine().stats().running > 0): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2))
}

for (const stream of [true, false]) {
  test(`a client that leaves during the prompt frees the engine (stream: ${stream})`, {
    skip,
    timeout: 30_000,
  }, async (t) => {
    const server = await serve(t, engine())
    const controller = new AbortController()
    const tokens = engine().stats().generatedTokens
    const answer = server.post('/v1/completions', { ...long, stream }, withSignal(controller))
    answer.then((response) => response.text()).catch(() => {})
    await busy()
    controller.abort()
    await settled(engine(), soon)
    assert.equal(engine().stats().generatedTokens, tokens, 'it left before the first token')
  })

  test(`a client that leaves during the reply frees the engine (stream: ${stream})`, {
    skip,
    timeout: 30_000,
  }, async (t) => {
    const server = await serve(t, engine())
    const controller = new AbortController()
    const tokens = engine().stats().generatedTokens
    const answer = server.post('/v1/completions', { ...talkative, stream }, withSignal(controller))
    answer.then((response) => response.text()).catch(() => {})
    await busy(() => engine().stats().generatedTokens > tokens + 3)
    assert.equal(engine().stats().running, 1)
    controller.abort()
    await settled(engine(), soon)
  })
}

test('a client that leaves while it waits for its turn takes nobody with it', { skip, timeout: 30_000 }, async (t) => {
  const server = await serve(t, engine())
  const first = new AbortController()
  const second = new AbortController()
  const running = await server.post('/v1/completions', { ...talkative, stream: true }, withSignal(first))
  const stream = events(running)
  await stream.next()
  const waiting = server.post('/v1/completions', talkative, withSignal(second))
  waiting.catch(() => {})
  await busy(() => engine().stats().waiting === 1)
  second.abort()
  await busy(() => engine().stats().waiting === 0)
  assert.equal(engine().stats().running, 1)
  const next = await stream.next()
  assert.ok(!next.done && next.value !== '[DONE]' && next.value.error === undefined, 'the first goes on')
  first.abort()
  await settled(engine(), soon)
})

test('all choices of a request leave with its client', { skip, timeout: 30_000 }, async (t) => {
  const server = await serve(t, engine())
  const controller = new AbortController()
  const answer = server.post('/v1/completions', { ...talkative, n: 8, stream: true }, withSignal(controller))
  answer.then((response) => response.text()).catch(() => {})
  await busy(() => engine().stats().waiting === 7 && engine().stats().running === 1)
  controller.abort()
  await settled(engine(), soon)
})

test('two requests on one connection leave with it', { skip, timeout: 30_000 }, async (t) => {
  const server = await serve(t, engine())
  const body = JSON.stringify({ ...talkative, stream: true })
  const request =
    `POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n` +
    `content-length: ${body.length}\r\n\r\n${body}`
  const socket = connect(server.port, '127.0.0.1')
  socket.on('data', () => {})
  socket.write(request + request)
  await busy(() => engine().stats().running + engine().stats().waiting === 2)
  socket.destroy()
  await settled(engine(), soon)
})

test('closing the server ends its streams and leaves the engine usable', { skip, timeout: 30_000 }, async (t) => {
  const server = await serve(t, engine())
  const answer = await server.post('/v1/completions', { ...talkative, stream: true })
  const ended = answer.text().catch((error) => error)
  await busy()
  await server.close()
  assert.ok((await ended) instanceof Error, 'the client sees that the stream was cut')
  await settled(engine(), soon)
  const again = await serve(t, engine())
  assert.equal((await again.post('/v1/completions', { prompt: 'Hi', max_tokens: 1 })).status, 200)
})

function withSignal({ signal }: AbortController): RequestInit {
  return { signal, headers: { 'content-type': 'application/json' } }
}
