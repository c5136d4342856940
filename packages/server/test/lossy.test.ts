import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createServer } from '../src/index.ts'
import { loaded, missing, prelude, stories } from './models.ts'
import { Reader } from './reader.ts'
import { RealtimeClient } from './realtime-client.ts'
import { type Chunk, chunks, committed, type Served, serve } from './serve.ts'

const timeout = 60_000
const engine = loaded(prelude, { contextLength: 256 })
const exitless = loaded(stories, { contextLength: 256 })

/** In the replies to these the best token leads by a logit of 0.1 at least: no batch size decides between two. */
const decided = ['function add(a, b) {\n', 'const x = ']

// Enough of them that guesses are shown and wrong in some, whatever the machine's load makes of the costs.
const prompts = [
  ...decided,
  'import { readFile } from ',
  'export class Point {\n  constructor(',
  'describe("',
  'if (value === ',
  'export default ',
  '// Returns the',
  'return new ',
]

async function streamed(server: Served, over: object): Promise<Chunk[]> {
  const stream_options = { include_provisional: true, include_usage: true, min_stability: 0 }
  const shared = { temperature: 0, max_tokens: 24, cache_prompt: false, stream: true, stream_options }
  const answer = await server.post('/v1/completions', { ...shared, ...over })
  assert.equal(answer.status, 200)
  return chunks(answer)
}

test('tolerant keeps what was shown, as far as alpha says, and says that it did', { timeout }, async (t) => {
  const server = await serve(t, engine())
  let kept = 0
  for (const prompt of prompts) {
    const plain = await streamed(server, { prompt })
    assert.equal(plain.at(-1)!.timings!.tolerated_n, 0)
    assert.ok(plain.every((chunk) => !('lossy' in chunk)))

    // Only what is as probable as the best: the full model's own text.
    const strict = await streamed(server, { prompt, policy: 'tolerant', alpha: 1 })
    if (decided.includes(prompt)) assert.equal(committed(strict), committed(plain))
    assert.equal(strict.at(-1)!.timings!.tolerated_n, 0)
    assert.equal(strict.at(-1)!.lossy, true)

    const lax = await streamed(server, { prompt, policy: 'tolerant', alpha: 0 })
    const reader = new Reader()
    for (const chunk of lax) reader.read(chunk)
    const { tolerated_n: tolerated } = lax.at(-1)!.timings!
    assert.equal(lax.at(-1)!.lossy, true)
    if (decided.includes(prompt)) assert.equal(committed(lax) === committed(plain), tolerated === 0)
    kept += tolerated!
  }
  assert.ok(kept > 0, 'the exit is wrong now and then')
})

test('confident lets the exit decide, from min_stability on, and says that it did', { timeout }, async (t) => {
  const server = await serve(t, engine())
  const ask = async (over: object) => {
    const body = { temperature: 0, max_tokens: 24, cache_prompt: false, ...over }
    const answer = await server.post('/v1/completions', body)
    assert.equal(answer.status, 200)
    return (await answer.json()) as Chunk
  }
  let early = 0
  for (const prompt of prompts) {
    const plain = await ask({ prompt })
    assert.deepEqual([plain.timings!.early_n, plain.lossy], [0, undefined])
    const never = await ask({ prompt, policy: 'confident', min_stability: 1 })
    if (decided.includes(prompt)) assert.equal(never.choices[0]!.text, plain.choices[0]!.text)
    assert.deepEqual([never.timings!.early_n, never.lossy], [0, true])
    const always = await ask({ prompt, policy: 'confident', min_stability: 0 })
    assert.equal(always.timings!.predicted_n, 24)
    assert.equal(always.lossy, true)
    early += always.timings!.early_n!
  }
  assert.ok(early > 6, `${early} tokens were early`)
})

test('confident is refused where no exit can say anything', { skip: missing(stories), timeout }, async (t) => {
  const server = await serve(t, exitless())
  for (const stream of [true, false]) {
    const answer = await server.post('/v1/completions', { prompt: 'Once', policy: 'confident', stream })
    assert.equal(answer.status, 400)
    const { error } = (await answer.json()) as Chunk
    assert.deepEqual([error!.code, error!.param], ['invalid_request', 'policy'])
    assert.match(error!.message, /needs an exit/)
  }
})

test('a server may be lossy by default, where its model can, and a client may decline', { timeout }, async (t) => {
  const server = await serve(t, engine(), { policy: 'confident' })
  const ask = async (over: object) => {
    const body = { prompt: decided[0], temperature: 0, max_tokens: 24, cache_prompt: false, ...over }
    return (await (await server.post('/v1/completions', body)).json()) as Chunk
  }
  assert.equal((await ask({})).lossy, true)
  const declined = await ask({ policy: 'committed' })
  assert.deepEqual([declined.lossy, declined.timings!.early_n], [undefined, 0])
  const client = await RealtimeClient.open(server)
  assert.equal(client.events[0]!.session!.policy, 'confident')
  await client.close()

  const showing = await RealtimeClient.open(await serve(t, engine(), { policy: 'tolerant', alpha: 0.25, tier: 'npc' }))
  const { policy, provisional, alpha, tier } = showing.events[0]!.session!
  assert.deepEqual([policy, provisional, alpha, tier], ['tolerant', true, 0.25, 'npc'])
  await showing.close()
})

test('a server that cannot be lossy says so when it is made', { skip: missing(stories) }, () => {
  assert.throws(() => createServer(exitless(), { policy: 'confident' }), { code: 'invalid_request', param: 'policy' })
})

test('a session may be lossy, or one response of it', { timeout }, async (t) => {
  const server = await serve(t, engine())
  const client = await RealtimeClient.open(server)
  await client.configure({ temperature: 0, max_output_tokens: 24, min_stability: 0 })
  client.send('input_text.append', { text: decided[0]! })
  const respond = async (response?: object) => {
    client.send('response.create', { response })
    const { text, timings, lossy } = await client.reply()
    return { text, early: timings!.early_n!, lossy }
  }
  const plain = await respond()
  assert.deepEqual([plain.early, plain.lossy], [0, undefined])
  const one = await respond({ policy: 'confident' })
  assert.ok(one.early > 0)
  assert.equal(one.lossy, true)
  assert.deepEqual(await respond(), plain)

  const { session } = await client.configure({ policy: 'confident' })
  assert.equal(session!.policy, 'confident')
  assert.equal((await respond()).lossy, true)
  assert.deepEqual(await respond({ policy: 'committed' }), plain)
  await client.close()
})

test('a session refuses a policy that is impossible', { skip: missing(stories), timeout }, async (t) => {
  const refused = async (client: RealtimeClient, type: string, fields: object, param: string) => {
    client.send(type, fields)
    const { error } = await client.next('error')
    assert.deepEqual([error!.code, error!.param], ['invalid_request', param], error!.message)
  }
  const able = await RealtimeClient.open(await serve(t, engine()))
  await refused(able, 'session.update', { session: { policy: 'tolerant' } }, 'session.policy')
  await refused(able, 'session.update', { session: { policy: 'confident', provisional: true } }, 'session.policy')
  await refused(able, 'session.update', { session: { cache_prompt: false } }, 'session.cache_prompt')
  able.send('input_text.append', { text: 'x' })
  await refused(able, 'response.create', { response: { policy: 'tolerant' } }, 'response.policy')
  await able.configure({ policy: 'tolerant', provisional: true })
  await able.close()
  const unable = await RealtimeClient.open(await serve(t, exitless()))
  await refused(unable, 'session.update', { session: { policy: 'confident' } }, 'session.policy')
  await unable.close()
})
