import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ModelPool, type PoolModel } from '../src/pool.ts'
import { delta, done } from './fake-engine.ts'
import { RealtimeClient } from './realtime-client.ts'
import { type FakeRealtimeEngine, fakeRealtimeEngine } from './realtime-fake.ts'
import { serve } from './serve.ts'

const timeout = 30_000
const chat = { messages: [{ role: 'user', content: 'Hi' }] }

/** Two models, of which one fits, and a gate that replies wait at. */
async function served(t: TestContext, idleMs: number) {
  const gate = Promise.withResolvers<void>()
  const engines: FakeRealtimeEngine[] = []
  const model = (name: string): PoolModel => ({
    name,
    weights: 1,
    idleMs,
    async start() {
      const engine = fakeRealtimeEngine(async function* () {
        yield delta('Hel')
        await gate.promise
        yield delta('lo')
        yield done()
      })
      engines.push(engine)
      return { ...engine, limitThreads() {}, async close() {} }
    },
  })
  const models = new ModelPool([model('a'), model('b')], { memory: 1 })
  const server = await serve(t, models)
  return { server, open: gate.resolve, engines, status: () => models.list().map(({ status }) => status) }
}

test('a socket that nobody uses does not keep its model, and is closed with it', { timeout }, async (t) => {
  const { server, engines, status } = await served(t, 20)
  const client = await RealtimeClient.open(server)
  client.send('input_text.append', { text: 'Half a thou' })
  assert.deepEqual(await client.whenClosed(), { code: 1000, reason: 'the model is unloaded, nobody used it here' })
  while (status()[0] !== 'unloaded') await sleep(5)
  assert.ok(engines[0]!.inputs.every(({ closed }) => closed))
})

test('a reply keeps its model until it is over, and then makes room for another one', { timeout }, async (t) => {
  const { server, open, status } = await served(t, 10)
  const client = await RealtimeClient.open(server)
  client.send('input_text.append', { text: 'Hi' })
  client.send('input_text.commit')
  client.send('response.create')
  await client.next('response.output_text.delta')
  const other = server.post('/v1/chat/completions', { ...chat, model: 'b' })
  await sleep(50)
  assert.deepEqual(status(), ['unloaded', 'loading'], 'it is to go, and has not gone')
  assert.equal(client.closed, undefined)
  open()
  assert.equal((await client.reply()).text, 'Hello')
  assert.equal((await client.whenClosed()).code, 1000)
  assert.equal((await other).status, 200)
})
