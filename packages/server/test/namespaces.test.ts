import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { loaded, missing, stories } from './models.ts'
import { RealtimeClient } from './realtime-client.ts'
import { type Chunk, type Served, serve } from './serve.ts'

const options = { skip: missing(stories), timeout: 60_000 }
const engine = loaded(stories, { contextLength: 256 })

const cached = (usage: unknown) =>
  (usage as { prompt_tokens_details: { cached_tokens: number } }).prompt_tokens_details.cached_tokens

/** Requests of somebody with this key; each tells how many tokens were warm. */
function caller(server: Served, key: string | undefined, prompt: string) {
  const headers = { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) }
  const post = async (path: string, over: object) => {
    const answer = await server.post(path, { prompt, max_tokens: 1, ...over }, { headers })
    assert.equal(answer.status, 200)
    return cached(((await answer.json()) as Chunk).usage)
  }
  return {
    complete: (over: object = {}) => post('/v1/completions', over),
    prefill: (over: object = {}) => post('/v1/prefill', over),
  }
}

test('a salt divides the namespace of a key and leads out of none', options, async (t) => {
  const prompt = 'Once there was a dragon that lived upon a hill, far away.'
  const [one, two, none] = [
    caller(await serve(t, engine(), { apiKey: 'one' }), 'one', prompt),
    caller(await serve(t, engine(), { apiKey: 'two' }), 'two', prompt),
    caller(await serve(t, engine()), undefined, prompt),
  ]
  const hash = (key: string) => createHash('sha256').update(key).digest('base64url')
  assert.equal(await one.complete({ cache_salt: 'ann' }), 0)
  assert.ok((await one.complete({ cache_salt: 'ann' })) > 5)
  assert.equal(await one.complete(), 0, 'the key itself is another namespace')
  assert.ok((await one.complete()) > 5)
  assert.equal(await one.complete({ cache_salt: 'bob' }), 0)

  // Whatever somebody else calls a salt, it is not one of the first key's.
  const salts = ['ann', 'bob', hash('one'), `${hash('one')}/ann`, `/${hash('one')}/ann`, `../${hash('one')}`]
  for (const stranger of [two, none]) {
    assert.equal(await stranger.complete(), 0)
    for (const cache_salt of salts) assert.equal(await stranger.complete({ cache_salt }), 0, cache_salt)
  }
})

test('a prefill has the salt of the request it is for', options, async (t) => {
  const { complete, prefill } = caller(await serve(t, engine()), undefined, 'Tom and Ben went to the park to play.')
  assert.equal(await prefill({ cache_salt: 'ann' }), 0)
  assert.ok((await prefill({ cache_salt: 'ann' })) > 5)
  assert.equal(await complete({ cache_salt: 'bob' }), 0)
  assert.equal(await complete(), 0)
  assert.ok((await complete({ cache_salt: 'ann' })) > 5)
})

test('without cache_prompt nothing is used and nothing is left', options, async (t) => {
  const { complete } = caller(await serve(t, engine()), undefined, 'The dog was sad because it had no friend.')
  assert.equal(await complete({ cache_prompt: false }), 0)
  assert.equal(await complete({ cache_prompt: true }), 0)
  assert.ok((await complete()) > 5)
  assert.equal(await complete({ cache_prompt: false }), 0)
})

test('a prefill that must leave nothing is a mistake', options, async (t) => {
  const server = await serve(t, engine())
  const answer = await server.post('/v1/prefill', { prompt: 'Once', cache_prompt: false })
  const { error } = (await answer.json()) as Chunk
  assert.deepEqual([answer.status, error?.code, error?.param], [400, 'invalid_request', 'cache_prompt'])
})

test('a session’s salt is set before it begins, and is its namespace from then on', options, async (t) => {
  const text = 'Mom said that the water was cold and very deep.'
  const server = await serve(t, engine())
  const { complete } = caller(server, undefined, text)
  const warm = async (cache_salt: string | null) => {
    const client = await RealtimeClient.open(server)
    await client.configure({ temperature: 0, max_output_tokens: 1, speculate: 'off', cache_salt })
    const { usage } = await client.ask(text)
    await client.close()
    return cached(usage)
  }
  assert.equal(await warm('ann'), 0)
  assert.ok((await warm('ann')) > 5)
  assert.equal(await warm('bob'), 0)
  assert.equal(await warm(null), 0)
  assert.ok((await complete()) > 5)
  assert.ok((await complete({ cache_salt: 'ann' })) > 5)

  const client = await RealtimeClient.open(server)
  await client.configure({ instructions: null, cache_salt: 'eve' })
  client.send('input_text.append', { text: 'Once upon' })
  const first = await client.next('input_text.progress')
  client.send('session.update', { session: { cache_salt: 'ann' } })
  const { error } = await client.next('error')
  assert.deepEqual([error!.code, error!.param], ['invalid_request', 'session.cache_salt'])
  client.send('input_text.clear')
  await client.configure({ cache_salt: 'ann' })
  client.send('input_text.append', { text: 'Once upon a time' })
  const later = await client.next('input_text.progress')
  assert.ok(later.rev! > first.rev!, `${later.rev} after ${first.rev}`)
  await client.close()
})
