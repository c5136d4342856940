import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Watcher } from '@incipit/engine/api'
import { parseServerSentEvents } from '../../client/src/sse.ts'
import { ModelPool } from '../src/pool.ts'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { loaded, missing, stories } from './models.ts'
import { type Served, serve } from './serve.ts'

const engine = loaded(stories, { contextLength: 128 })
const real = { skip: missing(stories), timeout: 60_000 }

interface Answer {
  choices: { text: string }[]
  usage: { prompt_tokens: number }
}

const json = async <T>(response: Response | Promise<Response>) => (await (await response).json()) as T

interface Refusal {
  error: { code: string; param: string | null }
}

interface Card {
  has_chat_template: boolean
  stats: { generated_tokens: number }
  costs: { rows: number; ms: number }[][]
}

interface WireRecord {
  type: string
  text?: string
  prompt_tokens?: number
  others?: object[]
}

/** A stream of records that has begun, and how to read it until it holds. */
async function watch(t: TestContext, server: Served, query = '', headers: Record<string, string> = {}) {
  const controller = new AbortController()
  t.after(() => controller.abort())
  const response = await server.get(`/v1/steps${query}`, { headers, signal: controller.signal })
  assert.equal(response.status, 200)
  const records: WireRecord[] = []
  const events = parseServerSentEvents(response.body!)
  assert.deepEqual(JSON.parse((await events.next()).value!), { records: [] })
  return {
    controller,
    async until(holds: (records: WireRecord[]) => boolean): Promise<WireRecord[]> {
      while (!holds(records)) records.push(...JSON.parse((await events.next()).value!).records)
      return records
    },
  }
}

const body = { prompt: 'Once upon a time', max_tokens: 8, temperature: 0 }
const over = (records: WireRecord[]) => records.some((record) => 'state' in record && record.state === 'over')
const textOf = (records: WireRecord[]) =>
  records
    .filter(({ type }) => type === 'token')
    .map(({ text }) => text ?? '?')
    .join('')

test('steps, requests and tokens are streamed as they happen', real, async (t) => {
  const server = await serve(t, engine())
  const { until } = await watch(t, server, '?others=2')
  const answer = await json<Answer>(server.post('/v1/completions', body))
  const records = await until(over)
  assert.equal(textOf(records), answer.choices[0]!.text)
  assert.ok(records.some(({ type }) => type === 'step'))
  const tokens = records.filter(({ type }) => type === 'token')
  assert.ok(tokens.every(({ others }) => others!.length === 2))
  assert.equal(records.find(({ type }) => type === 'request')!.prompt_tokens, answer.usage.prompt_tokens)
})

test('the key is wanted, and texts of another salt are not told', real, async (t) => {
  const server = await serve(t, engine(), { apiKey: 'sesame' })
  assert.equal((await server.get('/v1/steps')).status, 401)
  assert.equal((await server.get('/v1/engine')).status, 401)
  const headers = { authorization: 'Bearer sesame', 'content-type': 'application/json' }
  const mine = await watch(t, server, '?cache_salt=mine', headers)
  const all = await watch(t, server, '', headers)
  const answer = await json<Answer>(server.post('/v1/completions', { ...body, cache_salt: 'mine' }, { headers }))
  assert.equal(textOf(await mine.until(over)), answer.choices[0]!.text)
  assert.equal(textOf(await all.until(over)), '?'.repeat(8))
})

test('nine cannot watch at once, and whoever leaves makes room', real, async (t) => {
  const server = await serve(t, engine())
  const watching = await Promise.all(Array.from({ length: 8 }, () => watch(t, server)))
  const refused = await server.get('/v1/steps')
  assert.equal(refused.status, 503)
  assert.equal((await json<Refusal>(refused)).error.code, 'overloaded')
  watching[0]!.controller.abort()
  for (;;) {
    const again = await server.get('/v1/steps')
    await again.body!.cancel()
    if (again.status === 200) break
  }
})

test('what is no option is refused', real, async (t) => {
  const server = await serve(t, engine())
  const { error } = await json<Refusal>(server.get('/v1/steps?others=many'))
  assert.deepEqual([error.code, error.param], ['invalid_request', 'others'])
})

test('the engine says what it is, has done and costs', real, async (t) => {
  const server = await serve(t, engine())
  await server.post('/v1/completions', body)
  const card = await json<Card>(server.get('/v1/engine'))
  assert.equal(card.has_chat_template, false)
  assert.ok(card.stats.generated_tokens >= 8)
  assert.ok(card.costs[0]!.every(({ rows, ms }) => rows > 0 && ms > 0))
  assert.deepEqual(Object.keys(card).includes('path'), false)
})

test('an engine that cannot be watched says so', async (t) => {
  const server = await serve(t, fakeEngine(says()))
  for (const path of ['/v1/steps', '/v1/engine']) {
    const answer = await server.get(path)
    assert.deepEqual([answer.status, (await json<Refusal>(answer)).error.code], [400, 'unsupported'])
  }
})

test('watching neither loads nor keeps a model, and goes on when it is loaded again', async (t) => {
  let tell: Watcher = () => assert.fail('nobody watches')
  const start = async () => ({
    ...fakeEngine(says(delta('x'), done())),
    limitThreads: () => {},
    close: async () => {},
    watch: (watcher: Watcher) => {
      tell = watcher
      return () => {}
    },
  })
  const models = new ModelPool([{ name: 'a', weights: 1, idleMs: 20, start }], { memory: 10, strict: true })
  const status = () => models.list()[0]!.status
  const server = await serve(t, models)
  assert.equal((await server.get('/v1/steps?model=b')).status, 404)
  const { until } = await watch(t, server, '?model=a')
  assert.equal(status(), 'unloaded')
  await server.post('/v1/completions', body)
  tell([{ type: 'gap', records: 1 }])
  const records = await until(({ length }) => length === 1)
  while (status() !== 'unloaded') await sleep(5)
  await server.post('/v1/completions', body)
  tell([{ type: 'gap', records: 2 }])
  await until(({ length }) => length === 3)
  assert.deepEqual(
    records.map(({ type }) => type),
    ['gap', 'restart', 'gap'],
  )
})
