import assert from 'node:assert/strict'
import { test } from 'node:test'
import compile from '@incipit/constraint/compiler'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { loaded, missing, settled, shallow, stories } from './models.ts'
import { type Chunk, serve } from './serve.ts'
import { weather } from './weather-tool.ts'

const timeout = 60_000
const chat = loaded(shallow, { contextLength: 1024, constraints: compile })
const tiny = loaded(stories, { contextLength: 256 })

interface Prefilled {
  object: string
  model: string
  usage: { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } }
}

const cached = ({ usage }: Chunk) => (usage!.prompt_tokens_details as { cached_tokens: number }).cached_tokens

test('a prompt that was prefilled is warm, and its answer is the same', {
  skip: missing(shallow),
  timeout,
}, async (t) => {
  const server = await serve(t, chat())
  const document = 'The old man sat by the river and watched the boats go by. '.repeat(6)
  const ask = async (content: string, cache: boolean) => {
    const messages = [
      { role: 'system', content: document },
      { role: 'user', content },
    ]
    const body = { messages, temperature: 0, max_tokens: 8, cache_prompt: cache }
    return (await (await server.post('/v1/chat/completions', body)).json()) as Chunk
  }
  const cold = await ask('Which animal says meow?', false)
  assert.equal(cached(cold), 0)

  const body = { model: 'any', messages: [{ role: 'system', content: document }], stream: true, temperature: 'ignored' }
  const answer = await server.post('/v1/prefill', body)
  assert.equal(answer.status, 200)
  const { usage, ...rest } = (await answer.json()) as Prefilled
  assert.deepEqual(rest, { object: 'prefill', model: chat().info.name })
  assert.ok(usage.prompt_tokens > 70)
  assert.deepEqual(usage.prompt_tokens_details, { cached_tokens: 0 })

  const warm = await ask('Which animal says meow?', true)
  assert.equal(warm.choices[0]!.message!.content, cold.choices[0]!.message!.content)
  assert.ok(cached(warm) > 70)
  const again = (await (await server.post('/v1/prefill', body)).json()) as Prefilled
  assert.equal(again.usage.prompt_tokens, usage.prompt_tokens)
  assert.ok(again.usage.prompt_tokens_details.cached_tokens > 70)
})

test('what shapes the prompt of a chat shapes that of its prefill: tools, variables of the template, its last message', {
  skip: missing(shallow),
  timeout,
}, async (t) => {
  const server = await serve(t, chat())
  const tools = [{ type: 'function', function: weather }]
  const system = { role: 'system', content: 'You are asked about the weather, and answer in one word.' }
  const question = { role: 'user', content: 'Is it warm in Rome in June, and does it rain?' }
  const bodies: object[] = [
    { messages: [system, question], tools },
    { messages: [question], tools, tool_choice: 'none' },
    { messages: [{ ...question, content: 'And in Oslo?' }], add_generation_prompt: false },
    { messages: [question, { role: 'assistant', content: 'It is warm, and it seldom' }] },
  ]
  for (const [i, body] of bodies.entries()) {
    const asked = { ...body, cache_salt: `tenant ${i}` }
    const { usage } = (await (await server.post('/v1/prefill', asked)).json()) as Prefilled
    assert.equal(usage.prompt_tokens_details.cached_tokens, 0)
    const answer = await server.post('/v1/chat/completions', { ...asked, max_tokens: 1 })
    const told = (await answer.json()) as Chunk
    assert.equal(told.usage!.prompt_tokens, usage.prompt_tokens)
    // The last row is computed again, for what follows it.
    assert.equal(cached(told), usage.prompt_tokens - 1)
  }
  const wrong = await server.post('/v1/prefill', { messages: [question], tools: [{ type: 'search' }] })
  assert.equal(((await wrong.json()) as Chunk).error!.param, 'tools[0].type')
})

test('special tokens in the prompt of a completion are those of its prefill', {
  skip: missing(shallow),
  timeout,
}, async (t) => {
  const server = await serve(t, chat())
  const prompt = '<|im_start|>user\nWhich animal barks?<|im_end|>\n<|im_start|>assistant\n'
  for (const parse_special of [true, false]) {
    const body = { prompt, parse_special, cache_salt: `special ${parse_special}` }
    const { usage } = (await (await server.post('/v1/prefill', body)).json()) as Prefilled
    const told = (await (await server.post('/v1/completions', { ...body, max_tokens: 1 })).json()) as Chunk
    assert.equal(told.usage!.prompt_tokens, usage.prompt_tokens)
    assert.equal(cached(told), usage.prompt_tokens - 1)
  }
})

test('prompts of completions, one or several', { skip: missing(stories), timeout }, async (t) => {
  const server = await serve(t, tiny())
  const prompt = 'Once upon a time, there was a little girl who lived in a house.'
  const one = (await (await server.post('/v1/prefill', { prompt })).json()) as Prefilled
  const completion = { prompt: `${prompt} She`, max_tokens: 2 }
  assert.ok(cached((await (await server.post('/v1/completions', completion)).json()) as Chunk) > 10)
  const both = (await (await server.post('/v1/prefill', { prompt: [prompt, [1, 2, 3]] })).json()) as Prefilled
  assert.equal(both.usage.prompt_tokens, one.usage.prompt_tokens + 3)
})

test('what is no prompt gets the errors of the endpoints it belongs to', {
  skip: missing(stories),
  timeout,
}, async (t) => {
  const server = await serve(t, tiny())
  const cases: [object, string, string | null][] = [
    [{}, 'invalid_request', 'messages'],
    [{ messages: [] }, 'invalid_request', 'messages'],
    [{ messages: null }, 'invalid_request', 'messages'],
    [{ messages: [{ role: 'tool', content: 'x' }] }, 'invalid_request', 'messages[0].tool_call_id'],
    [{ messages: [{ role: 'function', content: 'x' }] }, 'unsupported', 'messages[0].role'],
    [{ prompt: 7 }, 'invalid_request', 'prompt'],
    [{ prompt: [512] }, 'invalid_request', 'prompt'],
    [{ prompt: 'x', messages: [{ role: 'user', content: 'x' }] }, 'invalid_request', 'prompt'],
    [{ prompt: 'word '.repeat(300) }, 'context_length_exceeded', null],
    [{ messages: [{ role: 'user', content: 'x' }] }, 'chat_template', null],
  ]
  for (const [body, code, param] of cases) {
    const answer = await server.post('/v1/prefill', body)
    const { error } = (await answer.json()) as Chunk
    assert.deepEqual([answer.status, error?.code, error?.param], [400, code, param], JSON.stringify(body).slice(0, 80))
  }
  assert.equal((await server.get('/v1/prefill')).status, 405)
})

test('an engine that cannot prefill says so', { timeout }, async (t) => {
  const server = await serve(t, fakeEngine(says(delta('x'), done())))
  const answer = await server.post('/v1/prefill', { prompt: 'x' })
  assert.equal(((await answer.json()) as Chunk).error!.code, 'unsupported')
})

test('a client that leaves cancels its prefill', { skip: missing(shallow), timeout }, async (t) => {
  const server = await serve(t, chat())
  const controller = new AbortController()
  const { generatedTokens } = chat().stats()
  const answer = server.post(
    '/v1/prefill',
    { prompt: 'The river runs to the sea and the sea is wide. '.repeat(80) },
    { headers: { 'content-type': 'application/json' }, signal: controller.signal },
  )
  answer.catch(() => {})
  while (chat().stats().running === 0) await new Promise((resolve) => setTimeout(resolve, 2))
  controller.abort()
  await settled(chat(), 1500)
  assert.equal(chat().stats().generatedTokens, generatedTokens)
})

test('a prefill is only warm for those with the same key', { skip: missing(stories), timeout }, async (t) => {
  const body = { prompt: 'Once there was a dragon that lived upon a hill, far away.' }
  const usage = async (key: string) => {
    const server = await serve(t, tiny(), { apiKey: key })
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }
    const answer = (await (await server.post('/v1/prefill', body, { headers })).json()) as Prefilled
    return answer.usage.prompt_tokens_details.cached_tokens
  }
  assert.equal(await usage('one'), 0)
  assert.equal(await usage('two'), 0)
  assert.ok((await usage('one')) > 5)
})
