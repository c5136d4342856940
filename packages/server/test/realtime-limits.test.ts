import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { IncipitError } from '@incipit/engine/api'
import { delta, done, guess, says } from './fake-engine.ts'
import { RealtimeClient } from './realtime-client.ts'
import { type FakeRealtimeEngine, fakeRealtimeEngine } from './realtime-fake.ts'
import { serve } from './serve.ts'

const timeout = 60_000
const EVENT = 64 * 1024
// What the kernel's socket buffers of both ends may take on a loopback connection, with room to spare.
const KERNEL = 24 * 1024 * 1024

const hi = says(delta('Hello'), done())

/** Waits for a condition. */
async function when(condition: () => boolean): Promise<void> {
  for (const begin = performance.now(); !condition(); await sleep(5)) {
    if (performance.now() - begin > timeout / 2) assert.fail(`not within ${timeout / 2} ms: ${condition}`)
  }
}

/** The value once it has stood still for a while. */
async function stalled(read: () => number): Promise<number> {
  for (let last = -1; ; ) {
    await sleep(150)
    if (read() === last && last > 0) return last
    last = read()
  }
}

/** Everything is given back: inputs closed, generations ended. */
async function assertFreed(engine: FakeRealtimeEngine): Promise<void> {
  await when(() => engine.generating() === 0 && engine.inputs.every(({ closed }) => closed))
}

function create(client: RealtimeClient): void {
  client.send('input_text.append', { text: 'Hi' })
  client.send('input_text.commit')
  client.send('response.create')
}

/** A script of large deltas that counts them. */
function talkative(total: number): { engine: FakeRealtimeEngine; produced: () => number } {
  let produced = 0
  const engine = fakeRealtimeEngine(async function* () {
    for (; produced < total; produced++) yield delta('x'.repeat(EVENT))
    yield done()
  })
  return { engine, produced: () => produced }
}

test('a client that does not read holds up its response, and reading resumes it', { timeout }, async (t) => {
  const total = (1.5 * KERNEL) / EVENT
  const { engine, produced } = talkative(total)
  const client = await RealtimeClient.open(await serve(t, engine))
  client.socket.pause()
  create(client)
  assert.ok((await stalled(produced)) * EVENT < KERNEL)
  client.socket.resume()
  const { text } = await client.reply()
  assert.equal(text.length, total * EVENT)
  await client.close()
  await assertFreed(engine)
})

test('a client that never reads is cut off, and what it asked for ends at once', { timeout }, async (t) => {
  const { engine } = talkative(Number.POSITIVE_INFINITY)
  const client = await RealtimeClient.open(await serve(t, engine, { realtime: { drainTimeout: 200 } }))
  client.socket.pause()
  create(client)
  await assertFreed(engine)
  client.socket.resume()
  assert.deepEqual(await client.whenClosed(), { code: 1013, reason: 'the client does not read what it is sent' })
})

test('events of a client that does not read wait, so that answers to them do not pile up', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(hi)
  const client = await RealtimeClient.open(await serve(t, engine))
  client.socket.pause()
  // Each is answered with as much text again: 50 MB in all.
  client.send('session.update', { session: { instructions: 'x'.repeat(1_000_000) } })
  for (let i = 1; i <= 50; i++) client.send('session.update', { session: { top_k: i } })
  await when(() => engine.inputs[0]!.options.topK !== 0)
  const reached = await stalled(() => engine.inputs[0]!.options.topK!)
  assert.ok(reached < 40, `${reached} of 50 events were handled`)
  client.socket.resume()
  await when(() => client.events.findLast(({ type }) => type === 'session.updated')?.session?.top_k === 50)
  await client.close()
  await assertFreed(engine)
})

test('of previews and progress a slow reader gets the last, in order', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(hi)
  const client = await RealtimeClient.open(await serve(t, engine))
  await client.configure({ provisional: true, speculate: 'reply' })
  client.socket.pause()
  // Something that fills the way to the client.
  client.send('session.update', { session: { instructions: 'x'.repeat(1_000_000) } })
  for (let i = 1; i <= 40; i++) client.send('session.update', { session: { top_k: i } })
  await stalled(() => engine.inputs[0]!.options.topK!)
  const { onPreview, onProgress } = engine.inputs[0]!.options
  for (let i = 1; i <= 1000; i++) {
    onPreview!(guess(i, 0, 'word '.repeat(i)))
    onProgress!({ rev: i, tokens: 1000, computed: i })
  }
  client.socket.resume()
  await when(() => client.events.some(({ computed }) => computed === 1000))
  await when(() => client.events.some(({ provisional }) => provisional?.text === 'word '.repeat(1000)))
  assert.ok(client.events.filter(({ type }) => type === 'response.output_text.provisional').length < 500)
  await client.close()
})

test('too many events: an error, then the connection is closed', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(hi)
  const client = await RealtimeClient.open(await serve(t, engine))
  for (let i = 0; i < 1000; i++) client.send('input_text.clear')
  const { code, reason } = await client.whenClosed()
  assert.equal(code, 1008)
  assert.match(reason, /200 events per second/)
  const { error } = client.events.at(-1)!
  assert.match(error!.message, /200 events per second/)
  await assertFreed(engine)
})

test('a fast typist stays below the bound', { timeout }, async (t) => {
  const client = await RealtimeClient.open(await serve(t, fakeRealtimeEngine(hi)))
  for (let i = 0; i < 350; i++) client.send('input_text.append', { text: 'x' })
  client.send('input_text.commit')
  client.send('response.create')
  assert.equal((await client.reply()).text, 'Hello')
  await client.close()
})

test('a flood of pings counts as events', { timeout }, async (t) => {
  const client = await RealtimeClient.open(await serve(t, fakeRealtimeEngine(hi)))
  for (let i = 0; client.closed === undefined && i < 1000; i++) {
    client.socket.ping()
    if (i % 20 === 0) await sleep(2)
  }
  assert.equal((await client.whenClosed()).code, 1008)
})

test('an event larger than a mebibyte closes the connection', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(hi)
  const client = await RealtimeClient.open(await serve(t, engine))
  client.send('input_text.append', { text: 'x'.repeat(1024 * 1024) })
  assert.equal((await client.whenClosed()).code, 1009)
  await assertFreed(engine)
})

test('text that is not UTF-8 closes the connection', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(hi)
  const client = await RealtimeClient.open(await serve(t, engine))
  client.socket.send(Buffer.from([0x22, 0xff, 0x22]), { binary: false })
  assert.equal((await client.whenClosed()).code, 1007)
  await assertFreed(engine)
})

test('an idle connection is closed; one with a response or events is not', { timeout }, async (t) => {
  const go = Promise.withResolvers<void>()
  const engine = fakeRealtimeEngine(async function* () {
    await go.promise
    yield delta('Hello')
    yield done()
  })
  const client = await RealtimeClient.open(await serve(t, engine, { realtime: { idleTimeout: 150 } }))
  for (let i = 0; i < 6; i++) {
    client.send('input_text.append', { text: 'Hi' })
    await sleep(50)
  }
  client.send('input_text.commit')
  client.send('response.create')
  await sleep(400)
  assert.equal(client.closed, undefined)
  go.resolve()
  await client.reply()
  assert.deepEqual(await client.whenClosed(), { code: 1000, reason: 'idle for too long' })
  await assertFreed(engine)
})

test('a peer that answers no ping is cut off, one that does is kept', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(hi)
  const server = await serve(t, engine, { realtime: { pingInterval: 60 } })
  const dead = new RealtimeClient(server, { autoPong: false })
  const alive = await RealtimeClient.open(server)
  assert.equal((await dead.whenClosed()).code, 1006)
  await sleep(300)
  assert.equal(alive.closed, undefined)
  await alive.close()
  await assertFreed(engine)
})

test('closing the server says goodbye and frees everything', { timeout }, async (t) => {
  const { engine } = talkative(Number.POSITIVE_INFINITY)
  const server = await serve(t, engine)
  const client = await RealtimeClient.open(server)
  create(client)
  await client.next('response.output_text.delta')
  await server.close()
  assert.equal((await client.whenClosed()).code, 1001)
  await assertFreed(engine)
})

test('where no conversation can be opened the socket closes with the reason', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(hi)
  engine.open = () => {
    throw new IncipitError('closed', 'the engine was closed')
  }
  const client = new RealtimeClient(await serve(t, engine))
  assert.deepEqual(await client.whenClosed(), { code: 1011, reason: 'the engine was closed' })
})
