import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { full } from '../../engine/test/fixtures/test-size.ts'
import { delta, done, guess, says } from '../../server/test/fake-engine.ts'
import { loaded, missing, shallow } from '../../server/test/models.ts'
import { fakeRealtimeEngine } from '../../server/test/realtime-fake.ts'
import { serve } from '../../server/test/serve.ts'
import { ClientError, openRealtime, type Realtime, type RealtimeOptions } from '../src/index.ts'

const timeout = 60_000
const greedy = { temperature: 0, max_output_tokens: 24 }

/** A session for the length of the test. */
function open(t: TestContext, url: string, options?: RealtimeOptions): Realtime {
  const chat = openRealtime(`${url}/v1/realtime`, options)
  t.after(() => chat.close())
  return chat
}

function until(chat: Realtime, holds: (chat: Realtime) => boolean): Promise<void> {
  return new Promise((resolve) => {
    const check = () => {
      if (holds(chat)) resolve()
    }
    chat.subscribe(check)
    chat.preview.subscribe(check)
  })
}

const isOpen = (chat: Realtime) => until(chat, ({ state }) => state.status === 'open')

/** A way to a server that can be cut. */
async function line(t: TestContext, port: () => number) {
  const sockets = new Set<Socket>()
  const proxy = createServer((socket) => {
    const onward = new (socket.constructor as typeof Socket)()
    onward.connect(port(), '127.0.0.1')
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      sockets.add(from)
      from.on('data', (data) => to.write(data))
      from.on('close', () => to.destroy())
      from.on('error', () => {})
    }
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.after(() => proxy.close())
  const address = proxy.address() as { port: number }
  return {
    url: `http://127.0.0.1:${address.port}`,
    cut() {
      for (const socket of sockets) socket.destroy()
      sockets.clear()
    },
  }
}

test('what is typed before there is a connection is there when it opens', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(says(delta('Hel'), delta('lo'), done()))
  const { url } = await serve(t, engine)
  const chat = open(t, url, { session: greedy, messages: [{ role: 'user', content: 'Before.' }] })
  chat.append('H')
  chat.append('e')
  chat.replace(1, 'i')
  const reply = chat.send()
  assert.equal(chat.text, '')
  const end = await reply.done
  assert.deepEqual([end.finishReason, reply.text.committed], ['stop', 'Hello'])
  assert.equal(end.timings?.prompt_ms, 20)
  assert.deepEqual(engine.requests[0]!.messages, [
    { role: 'user', content: 'Before.' },
    { role: 'user', content: 'Hi' },
  ])
  assert.deepEqual(chat.messages.at(-1), { role: 'assistant', content: 'Hello' })
})

test('a cut line loses nothing: not the text, not the conversation, not a running reply', { timeout }, async (t) => {
  const first = Promise.withResolvers<void>()
  const engine = fakeRealtimeEngine(async function* (_, index) {
    yield delta('one ')
    yield delta('two ')
    if (index === 0) await first.promise
    yield delta('three')
    yield done()
  })
  const server = await serve(t, engine)
  const { url, cut } = await line(t, () => server.port)
  const chat = open(t, url, { session: { seed: 7 } })
  chat.append('Count.')
  await isOpen(chat)
  const reply = chat.send()
  const shown: string[] = []
  reply.text.subscribe(({ committed }) => void shown.push(committed))
  await new Promise<void>((resolve) => reply.text.subscribe(({ committed }) => committed === 'one two ' && resolve()))
  chat.append('next')
  cut()
  chat.append(' message')
  const end = await reply.done
  first.resolve()
  assert.equal(end.finishReason, 'stop')
  assert.deepEqual(shown, ['', 'one ', 'one two ', 'one two three'])
  assert.deepEqual(engine.requests.at(-1)!.messages, [{ role: 'user', content: 'Count.' }])
  await chat.send().done
  assert.deepEqual(chat.messages.slice(0, 3), [
    { role: 'user', content: 'Count.' },
    { role: 'assistant', content: 'one two three' },
    { role: 'user', content: 'next message' },
  ])
})

test('a reply that another connection answers differently fails, and what was shown stays', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(async function* (_, index) {
    yield delta(index === 0 ? 'red' : 'blue')
    if (index === 0) await new Promise(() => {})
    yield done()
  })
  const server = await serve(t, engine)
  const { url, cut } = await line(t, () => server.port)
  const chat = open(t, url)
  chat.append('A colour?')
  const reply = chat.send()
  await new Promise<void>((resolve) => reply.text.subscribe(({ committed }) => committed === 'red' && resolve()))
  cut()
  await assert.rejects(reply.done, { name: 'ClientError', code: 'connection_lost' })
  assert.equal(String(reply.text), 'red')
})

test('the key opens the session; a wrong one closes it for good, saying why', { timeout }, async (t) => {
  const { url } = await serve(t, fakeRealtimeEngine(says(delta('Hi'), done())), { apiKey: 'sesame' })
  await isOpen(open(t, url, { apiKey: 'sesame' }))
  const chat = open(t, url, { apiKey: 'wrong' })
  chat.append('x')
  const reply = chat.send()
  await assert.rejects(reply.done, { name: 'ClientError', code: 'invalid_api_key', status: 401 })
  assert.equal(chat.state.status, 'closed')
  const unsendable = open(t, url, { apiKey: 'with space' })
  assert.equal(unsendable.state.error?.code, 'invalid_api_key')
})

test('a server that is not there yet is waited for', { timeout }, async (t) => {
  let port = 1
  const { url } = await line(t, () => port)
  const chat = open(t, url)
  await until(chat, ({ state }) => state.error !== undefined)
  assert.equal(chat.state.status, 'connecting')
  const server = await serve(t, fakeRealtimeEngine(says(delta('Hi'), done())))
  port = server.port
  await isOpen(chat)
  assert.equal(chat.state.error, undefined)
})

test('a connection that nobody used for long is opened again by the next change', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(says(delta('Hi'), done()))
  const { url } = await serve(t, engine, { realtime: { idleTimeout: 50 } })
  const chat = open(t, url)
  await until(chat, ({ state }) => state.status === 'idle')
  chat.append('Hello')
  await chat.send().done
  assert.deepEqual(engine.requests[0]!.messages, [{ role: 'user', content: 'Hello' }])
})

test('what the server refuses is said, and the session goes on', { timeout }, async (t) => {
  const { url } = await serve(t, fakeRealtimeEngine(says(delta('Hi'), done())))
  const chat = open(t, url, { session: { temperature: 9 } })
  await until(chat, ({ state }) => state.error?.param === 'session.temperature')
  chat.append('Hello')
  // The reply would be made without the settings that were asked for.
  assert.throws(() => chat.send(), { code: 'invalid_request', param: 'session.temperature' })
  assert.equal(chat.text, 'Hello')
  chat.update({ temperature: 0 })
  assert.equal(chat.state.error, undefined)
  assert.throws(() => open(t, url).send(), { code: 'invalid_request' })
  await assert.rejects(chat.send({ audio: { output: {} } }).done, { code: 'unsupported' })
  assert.equal((await chat.send().done).finishReason, 'stop')
})

test('a reply behind settings that turn out to be refused fails, and says why', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(says(delta('Hi'), done()))
  const { url } = await serve(t, engine)
  const chat = open(t, url)
  await isOpen(chat)
  chat.append('Hello')
  chat.update({ temperature: 9 })
  await assert.rejects(chat.send().done, { code: 'invalid_request', param: 'session.temperature' })
  assert.equal(chat.refused?.param, 'session.temperature')
  chat.update({ temperature: 0 })
  assert.equal((await chat.send().done).finishReason, 'stop')
})

test('a reply that is refused ends, also when its beginning was shown before', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(says(delta('Hi'), done()))
  const { url } = await serve(t, engine)
  const chat = open(t, url, { session: { provisional: true } })
  await isOpen(chat)
  chat.append('Hello')
  while (engine.inputs[0]!.options.policy !== 'provisional') await new Promise((resolve) => setTimeout(resolve, 1))
  engine.inputs[0]!.options.onPreview!(guess(1, 0, 'Hi'))
  await until(chat, ({ preview }) => preview.provisional === 'Hi')
  await assert.rejects(chat.send({ audio: { output: {} } }).done, { code: 'unsupported' })
})

test('a preview that was on its way while one typed is what it says behind the text, or nothing', {
  timeout,
}, async (t) => {
  const engine = fakeRealtimeEngine(says(delta('Hi'), done()))
  const { url } = await serve(t, engine)
  const chat = open(t, url, { session: { provisional: true, raw: true } })
  await isOpen(chat)
  const seen: string[] = []
  chat.preview.subscribe(({ provisional }) => seen.push(provisional))
  const say = (text: string) => engine.inputs.at(-1)!.options.onPreview!(guess(1, 0, text))
  const shows = async (text: string) => {
    for (; seen.at(-1) !== text; await new Promise((resolve) => setTimeout(resolve, 1))) say(text)
  }
  chat.append('Once ')
  await shows('upon')
  say('upon a time')
  chat.append('upon')
  await until(chat, ({ preview }) => preview.provisional === ' a time')
  say(' the hill')
  chat.append(' b')
  await shows('ut')
  assert.deepEqual(
    seen.filter((text) => text.includes('hill')),
    [],
  )
})

test('a reply that fails rejects with the server’s error', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(async function* () {
    yield delta('Hal')
    throw new Error('secret')
  })
  const { url } = await serve(t, engine)
  const chat = open(t, url)
  chat.append('Hello')
  const reply = chat.send()
  await assert.rejects(reply.done, (error) => error instanceof ClientError && error.code === 'internal')
  assert.equal(String(reply.text), 'Hal')
})

test('what a model thinks is told apart, and said once over a lost connection', { timeout }, async (t) => {
  const first = Promise.withResolvers<void>()
  const fake = fakeRealtimeEngine(async function* (_, index) {
    yield delta('<think>Hm, ')
    if (index === 0) await first.promise
    yield delta('yes.</think>Yes.')
    yield done()
  })
  // A model whose template may begin with thoughts.
  const reasoning = { start: '<think>', end: '</think>' }
  const thinker = { ...fake, info: { ...fake.info, reasoning }, renderChat: async () => '' }
  const server = await serve(t, thinker)
  const { url, cut } = await line(t, () => server.port)
  const chat = open(t, url)
  await isOpen(chat)
  chat.append('Is it so?')
  const reply = chat.send()
  await new Promise<void>((resolve) => reply.reasoning.subscribe(({ committed }) => committed !== '' && resolve()))
  cut()
  await reply.done
  first.resolve()
  assert.deepEqual([reply.reasoning.committed, reply.text.committed], ['Hm, yes.', 'Yes.'])
  assert.deepEqual(chat.messages.at(-1), { role: 'assistant', content: 'Yes.' })
})

test('close and the signal end the session and its reply', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(async function* () {
    yield delta('Hal')
    await new Promise(() => {})
  })
  const { url } = await serve(t, engine)
  const controller = new AbortController()
  const chat = open(t, url, { signal: controller.signal })
  chat.append('Hello')
  const reply = chat.send()
  await new Promise<void>((resolve) => reply.text.subscribe(({ committed }) => committed === 'Hal' && resolve()))
  controller.abort()
  await assert.rejects(reply.done, { code: 'closed' })
  assert.equal(open(t, url, { signal: AbortSignal.abort() }).state.status, 'closed')
})

const engine = loaded(shallow, { contextLength: 512 })
const real = { skip: missing(shallow), timeout: 120_000 }
const whole = { ...real, skip: real.skip || (full ? false : 'runs with npm run test:full') }

test(
  'a question typed key by key is read meanwhile, and a reply begun in a pause is there at once',
  real,
  async (t) => {
    const { url } = await serve(t, engine())
    const session = { ...greedy, provisional: true, speculate: 'reply' }
    const chat = open(t, url, { session })
    await isOpen(chat)
    for (const key of 'What is the opposite of hot?') chat.append(key)
    await until(chat, ({ preview }) => preview.provisional.length > 5)
    assert.ok(chat.state.progress.computed > 0)
    const guess = chat.preview.provisional
    const reply = chat.send()
    assert.deepEqual(chat.state.progress, { tokens: 0, computed: 0 }, 'it is that of the next message')
    assert.equal(reply.text.provisional, guess)
    await reply.done
    assert.ok(reply.text.committed.startsWith(guess))
    // The same conversation again, in one piece and without anything ahead.
    const plain = open(t, url, { session: { ...greedy, speculate: 'off' } })
    plain.append('What is the opposite of hot?')
    const again = plain.send()
    await again.done
    assert.equal(reply.text.committed, again.text.committed)
  },
)

test('an earlier turn is answered again', whole, async (t) => {
  const { url } = await serve(t, engine())
  const chat = open(t, url, { session: greedy })
  chat.append('Name a colour.')
  const first = chat.send()
  await first.done
  chat.setMessages([])
  chat.append('Name a colour.')
  const again = chat.send()
  await again.done
  assert.equal(again.text.committed, first.text.committed)
  assert.equal(chat.messages.length, 2)
})

test('stopping a reply keeps what was said in the conversation', whole, async (t) => {
  const { url } = await serve(t, engine())
  const chat = open(t, url, { session: { temperature: 0, max_output_tokens: 200 } })
  chat.append('Tell me a long story about a dragon.')
  const reply = chat.send()
  await new Promise<void>((resolve) => reply.text.subscribe(({ committed }) => committed.length > 5 && resolve()))
  reply.cancel()
  assert.equal((await reply.done).finishReason, 'cancelled')
  assert.deepEqual(chat.messages.at(-1), { role: 'assistant', content: reply.text.committed })
})

test('tools that a reply calls are told at its end, and stay in the conversation over a lost connection', {
  timeout,
}, async (t) => {
  const call = '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>'
  const engine = fakeRealtimeEngine(async function* (_, index) {
    yield delta(index === 0 ? `I look.\n${call}` : 'Sunny.')
    yield done()
  })
  const { port } = await serve(t, engine)
  const { url, cut } = await line(t, () => port)
  const tools = [{ type: 'function', name: 'weather', parameters: { type: 'object' } }]
  const chat = open(t, url, { session: { tools, temperature: 0 } })
  await isOpen(chat)
  chat.append('How is the weather in Paris?')
  const { toolCalls, finishReason } = await chat.send().done
  assert.equal(finishReason, 'tool_calls')
  const [called] = toolCalls!
  assert.deepEqual(called!.function, { name: 'weather', arguments: '{"city": "Paris"}' })
  chat.setMessages([...chat.messages, { role: 'tool', tool_call_id: called!.id, content: 'sunny' }])
  cut()
  await until(chat, ({ state }) => state.status === 'connecting')
  await isOpen(chat)
  const reply = chat.send()
  await reply.done
  assert.equal(reply.text.committed, 'Sunny.')
  // The model is told of the call as it would write it itself.
  const told = engine.requests.at(-1)!.messages!.map(({ role, content }) => [role, content])
  assert.deepEqual(told.slice(1), [
    ['user', 'How is the weather in Paris?'],
    ['assistant', `I look.\n${call}`],
    ['user', '<tool_response>\nsunny\n</tool_response>'],
  ])
})
