import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ModelDirectory } from '../src/index.ts'
import { delta, done, fakeEngine, guess, says } from './fake-engine.ts'
import { loaded, missing, settled, stories } from './models.ts'
import { RealtimeClient } from './realtime-client.ts'
import { chunks, type Served, serve } from './serve.ts'

const skip = missing(stories)
const tiny = loaded(stories, { contextLength: 256 })

interface Metric {
  type: string
  help: string
  /** Values by what stands before them, such as `incipit_x_total{model="a"}`. */
  series: Map<string, number>
}

/** Reads Prometheus' text format, and checks that it is that. */
function parse(text: string): Map<string, Metric> {
  assert.ok(text.endsWith('\n'))
  const metrics = new Map<string, Metric>()
  let current: Metric | undefined
  let name = ''
  for (const line of text.slice(0, -1).split('\n')) {
    const help = /^# HELP (\w+) (.+)$/.exec(line)
    const type = /^# TYPE (\w+) (counter|gauge|histogram)$/.exec(line)
    if (help) {
      name = help[1]!
      assert.ok(!metrics.has(name), `${name} stands there once`)
      current = { type: '', help: help[2]!, series: new Map() }
      metrics.set(name, current)
    } else if (type) {
      assert.equal(type[1], name)
      current!.type = type[2]!
    } else {
      const sample = /^(\w+)(\{\w+="(?:[^"\\\n]|\\[\\"n])*"(?:,\w+="(?:[^"\\\n]|\\[\\"n])*")*\})? (\S+)$/.exec(line)
      assert.ok(sample, line)
      const suffix = sample[1]!.slice(name.length)
      assert.ok(sample[1]!.startsWith(name) && (suffix === '' || /^_(bucket|sum|count)$/.test(suffix)), line)
      assert.equal(suffix !== '', current!.type === 'histogram', line)
      const key = `${sample[1]}${sample[2] ?? ''}`
      assert.ok(!current!.series.has(key), `${key} stands there once`)
      current!.series.set(key, Number(sample[3] === '+Inf' ? Number.POSITIVE_INFINITY : sample[3]))
    }
  }
  return metrics
}

async function scrape(server: Served): Promise<Map<string, Metric>> {
  const answer = await server.get('/metrics')
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  return parse(await answer.text())
}

/** The value of a series by its whole name; it may come a moment after the client has read the answer. */
async function value(server: Served, series: string, isEnough: (value: number) => boolean = () => true) {
  const name = series.replace(/\{.*|_(bucket|sum|count)\{?.*/, '')
  for (let tries = 0; ; tries++) {
    const all = (await scrape(server)).get(name)
    assert.ok(all, name)
    const found = all.series.get(series)
    if (found !== undefined && isEnough(found)) return found
    assert.ok(tries < 200, `${series}: ${found} of ${[...all.series.keys()].join(' ')}`)
    await sleep(10)
  }
}

test('what an engine counts, and how replies went', { skip }, async (t) => {
  const server = await serve(t, tiny(), { modelName: 'tiny' })
  const body = { prompt: 'Once upon a time', max_tokens: 12, seed: 1 }
  await (await server.post('/v1/completions', body)).json()
  await chunks(await server.post('/v1/completions', { ...body, stream: true, tier: 'code' }))
  assert.equal((await server.post('/v1/completions', { prompt: 7 })).status, 400)
  await settled(tiny())

  const { promptTokens, cachedTokens, generatedTokens, steps, decodeMs } = tiny().stats()
  const expected = {
    'incipit_prompt_tokens_total{model="tiny"}': promptTokens,
    'incipit_cached_tokens_total{model="tiny"}': cachedTokens,
    'incipit_generated_tokens_total{model="tiny"}': generatedTokens,
    'incipit_steps_total{model="tiny"}': steps,
    'incipit_decode_seconds_total{model="tiny"}': decodeMs / 1000,
    'incipit_requests_running{model="tiny"}': 0,
    'incipit_model_loaded{model="tiny"}': 1,
    'incipit_time_to_first_committed_seconds_count{model="tiny",tier="chat"}': 1,
    'incipit_time_to_first_committed_seconds_count{model="tiny",tier="code"}': 1,
    'incipit_replies_total{model="tiny",tier="code",end="length"}': 1,
  }
  for (const [series, number] of Object.entries(expected)) assert.equal(await value(server, series), number, series)
  // Of twelve tokens the first comes after none, and others may come together with it.
  const between = await value(server, 'incipit_inter_token_seconds_count{model="tiny",tier="code"}')
  assert.ok(between > 0 && between <= 11, `${between}`)
  const requests = (status: number, model: string) =>
    `incipit_http_requests_total{method="POST",endpoint="/v1/completions",status="${status}",model="${model}"}`
  await value(server, requests(200, 'tiny'), (count) => count === 2)
  await value(server, requests(400, ''), (count) => count === 1)
})

test('a histogram counts what is at most each of its bounds', { skip }, async (t) => {
  const server = await serve(t, tiny(), { modelName: 'tiny' })
  await (await server.post('/v1/completions', { prompt: 'Once', max_tokens: 30 })).json()
  const metrics = await scrape(server)
  const { type, series } = metrics.get('incipit_inter_token_seconds')!
  assert.equal(type, 'histogram')
  const buckets = [...series].filter(([key]) => key.startsWith('incipit_inter_token_seconds_bucket'))
  assert.ok(buckets.length > 10)
  const counts = buckets.map(([, count]) => count)
  assert.deepEqual(
    counts,
    counts.toSorted((a, b) => a - b),
  )
  assert.match(buckets.at(-1)![0], /le="\+Inf"/)
  assert.equal(counts.at(-1), series.get('incipit_inter_token_seconds_count{model="tiny",tier="chat"}'))
  const sum = series.get('incipit_inter_token_seconds_sum{model="tiny",tier="chat"}')!
  assert.ok(sum > 0 && sum < 60)
})

test('provisional text has a time of its own, of requests that are shown it', async (t) => {
  const server = await serve(t, fakeEngine(says(guess(1, 0, 'He'), delta('Hello'), done())))
  const name = 'incipit_time_to_first_provisional_seconds_sum{model="fake-1b",tier="chat"}'
  const body = { messages: [{ role: 'user', content: 'Hi' }], stream: true }
  await chunks(await server.post('/v1/chat/completions', body))
  assert.equal((await scrape(server)).get('incipit_time_to_first_provisional_seconds')!.series.size, 0)
  await chunks(await server.post('/v1/chat/completions', { ...body, stream_options: { include_provisional: true } }))
  assert.equal(await value(server, name), 0.005)
  assert.equal(await value(server, name.replace('provisional', 'committed'), (sum) => sum > 0.042), 2 * 0.02123456)
})

test('nothing that a client makes up becomes a series', { skip }, async (t) => {
  const server = await serve(t, tiny(), { modelName: 'tiny' })
  const ask = async (i: number) => {
    const headers = { 'content-type': 'application/json', 'x-request-id': `id-${i}` }
    await (await server.get(`/nowhere/${i}`)).text()
    await (await server.get(`/v1/models/made-up-${i}`)).text()
    await (await server.get(`/v1/responses/resp_${i}`)).text()
    const same = { prompt: 'a', max_tokens: 3, seed: 1, ignore_eos: true, speculate: false }
    const body = JSON.stringify({ ...same, model: `model ${i}`, cache_salt: `salt ${i}` })
    await (await server.post('/v1/completions', body, { headers })).text()
  }
  const names = async () => [...(await scrape(server)).values()].flatMap(({ series }) => [...series.keys()])
  await ask(0)
  // The scrape itself is counted, too.
  await scrape(server)
  await value(server, 'incipit_http_requests_total{method="GET",endpoint="/metrics",status="200",model=""}')
  const before = await names()
  for (let i = 1; i < 30; i++) await ask(i)
  assert.deepEqual((await names()).toSorted(), before.toSorted())
})

test('a client that leaves is counted as one, and a socket when it has closed', { skip }, async (t) => {
  const server = await serve(t, tiny(), { modelName: 'tiny' })
  const controller = new AbortController()
  const body = { prompt: 'Once upon a time', max_tokens: 200, ignore_eos: true, stream: true }
  const answer = await server.post('/v1/completions', body, { signal: controller.signal })
  await answer.body!.getReader().read()
  controller.abort()
  const requests = 'incipit_http_requests_total'
  await value(server, `${requests}{method="POST",endpoint="/v1/completions",status="499",model="tiny"}`)
  await value(server, 'incipit_replies_total{model="tiny",tier="chat",end="cancelled"}')

  const client = await RealtimeClient.open(server)
  await client.configure({ raw: true, max_output_tokens: 4, tier: 'npc' })
  await client.ask('Once upon')
  await client.close()
  await value(server, `${requests}{method="GET",endpoint="/v1/realtime",status="101",model="tiny"}`)
  await value(server, 'incipit_replies_total{model="tiny",tier="npc",end="length"}')
})

test('a name with quotes is a label, and an engine that does not answer holds nobody up', async (t) => {
  const engine = { ...fakeEngine(says(delta('x'), done())), stats: () => new Promise<never>(() => {}) }
  const models: ModelDirectory = {
    failure: undefined,
    list: () => [
      { name: 'say "hi"\\\nthere', aliases: [], status: 'loaded' },
      { name: 'other', aliases: [], status: 'unloaded' },
    ],
    use: () => Promise.reject(new Error('nobody')),
    useEmbedder: () => Promise.reject(new Error('nobody')),
    loaded: () => engine,
    follow: () => () => {},
  }
  const server = await serve(t, models)
  const { series } = (await scrape(server)).get('incipit_model_loaded')!
  assert.deepEqual(
    [...series],
    [
      ['incipit_model_loaded{model="say \\"hi\\"\\\\\\nthere"}', 1],
      ['incipit_model_loaded{model="other"}', 0],
    ],
  )
})

test('it wants the key', async (t) => {
  const server = await serve(t, fakeEngine(says(done())), { apiKey: 'secret' })
  assert.equal((await server.get('/metrics')).status, 401)
  assert.equal((await server.get('/metrics', { headers: { authorization: 'Bearer secret' } })).status, 200)
})

test('docs/server.md names every metric, with its type', { skip }, async (t) => {
  const page = readFileSync(new URL('../../../docs/server.md', import.meta.url), 'utf8')
  const metrics = await scrape(await serve(t, tiny()))
  assert.ok(metrics.size > 20)
  assert.deepEqual(
    [...metrics].filter(([name, { type }]) => !page.includes(`| \`${name}\` | ${type} |`)).map(([name]) => name),
    [],
  )
  const documented = [...page.matchAll(/^\| `(incipit_\w+)`/gm)].map(([, name]) => name!)
  assert.deepEqual(
    documented.filter((name) => !metrics.has(name)),
    [],
  )
})
