import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import OpenAI, { APIUserAbortError, AuthenticationError, BadRequestError, NotFoundError } from 'openai'
import type { ServerOptions } from '../src/index.ts'
import { assertSays, chatModel, full, loaded, longMessage, longReply, missing, settled } from './models.ts'
import { type Chunk, serve } from './serve.ts'

const skip = missing(chatModel)
const engine = loaded(chatModel, { contextLength: 512 })

async function client(t: TestContext, options?: ServerOptions, apiKey = 'none'): Promise<OpenAI> {
  const server = await serve(t, engine(), options)
  return new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 })
}

const messages = [
  { role: 'system' as const, content: 'You answer with one short sentence.' },
  { role: 'user' as const, content: 'What is the capital of France?' },
]
const greedy = { model: 'gpt-4o', messages, temperature: 0, max_tokens: 16 }
// A prompt that is warm leaves nothing to look ahead for.
const cold = {
  ...greedy,
  messages: [{ role: 'user' as const, content: longMessage }],
  max_tokens: 8,
  cache_prompt: false,
}
const everything = { include_usage: true, include_provisional: true, min_stability: 0 }

test('create: a whole answer', { skip }, async (t) => {
  const openai = await client(t)
  const { data: answer, request_id } = await openai.chat.completions.create(greedy).withResponse()
  const { message, finish_reason } = answer.choices[0]!
  assert.match(request_id!, /^req_/)
  assert.equal(answer.model, engine().info.name)
  assert.equal(message.role, 'assistant')
  assertSays(message.content!, /Paris/)
  assert.equal(finish_reason, full ? 'stop' : 'length')
  const { prompt_tokens, completion_tokens, total_tokens } = answer.usage!
  const rendered = engine().renderChat(messages)
  assert.equal(prompt_tokens, engine().tokenize(rendered, { special: true }).length)
  assert.ok(completion_tokens > 1 && completion_tokens <= 16)
  assert.equal(total_tokens, prompt_tokens + completion_tokens)
})

test('create with stream: the same text, whatever provisional chunks come between', { skip }, async (t) => {
  const openai = await client(t)
  const expected = await longReply(engine())
  for (const stream_options of [null, everything]) {
    let text = ''
    let provisional = 0
    let usage: OpenAI.CompletionUsage | null | undefined
    for await (const chunk of await openai.chat.completions.create({ ...cold, stream: true, stream_options })) {
      text += chunk.choices[0]?.delta.content ?? ''
      if ((chunk as unknown as Chunk).provisional) provisional++
      usage = chunk.usage
    }
    assert.equal(text, expected)
    assert.equal(provisional > 0, stream_options !== null)
    assert.equal(usage != null, stream_options !== null)
  }
})

test('the .stream() helper passes over provisional chunks', { skip }, async (t) => {
  const openai = await client(t)
  let provisional = 0
  let text = ''
  const runner = openai.chat.completions.stream({ ...cold, stream_options: everything })
  runner.on('chunk', (chunk) => {
    if ((chunk as unknown as Chunk).provisional) provisional++
  })
  runner.on('content', (delta) => {
    text += delta
  })
  const final = await runner.finalChatCompletion()
  assert.ok(provisional > 0)
  assert.equal(text, await longReply(engine()))
  assert.equal(final.choices.length, 1)
  assert.equal(final.choices[0]!.message.content, text)
  assert.ok(final.usage!.completion_tokens <= 8)
})

test('a seed makes sampling repeatable, choice by choice', { skip }, async (t) => {
  const openai = await client(t)
  const sampled = { ...greedy, temperature: 1.5, max_tokens: 8 }
  const texts = async (over: object) => {
    const answer = await openai.chat.completions.create({ ...sampled, ...over, stream: false })
    return answer.choices.map((choice) => choice.message.content)
  }
  const [first] = await texts({ seed: 1 })
  const [second] = await texts({ seed: 2 })
  assert.notEqual(first, second)
  assert.deepEqual(await texts({ seed: 1 }), [first])
  const both = await texts({ seed: 1, n: 2 })
  assert.equal(both.length, 2)
  assert.notEqual(both[0], both[1])
})

test('a stop string ends the reply and is not part of it', { skip }, async (t) => {
  const openai = await client(t)
  const free = (await openai.chat.completions.create(greedy)).choices[0]!.message.content!
  const [word] = free.match(/\w+\W*$/)!
  const { message, finish_reason } = (await openai.chat.completions.create({ ...greedy, stop: [word] })).choices[0]!
  assert.equal(message.content, free.slice(0, free.indexOf(word)))
  assert.equal(finish_reason, 'stop')
})

test('max_completion_tokens bounds the reply', { skip }, async (t) => {
  const openai = await client(t)
  const { max_tokens: _, ...rest } = greedy
  const answer = await openai.chat.completions.create({ ...rest, max_completion_tokens: 2 })
  assert.equal(answer.choices[0]!.finish_reason, 'length')
  assert.equal(answer.usage!.completion_tokens, 2)
})

test('completions, streamed and not, of text and of tokens', { skip }, async (t) => {
  const openai = await client(t)
  const prompt = 'One, two, three, four,'
  const request = { model: 'x', prompt, temperature: 0, max_tokens: 6 }
  const answer = await openai.completions.create(request)
  const { text, finish_reason } = answer.choices[0]!
  assertSays(text, /five/)
  assert.equal(finish_reason, 'length')
  const byTokens = await openai.completions.create({ ...request, prompt: engine().tokenize(prompt) })
  assert.equal(byTokens.choices[0]!.text, text)
  let streamed = ''
  for await (const chunk of await openai.completions.create({ ...request, stream: true, stream_options: everything })) {
    streamed += chunk.choices[0]?.text ?? ''
  }
  assert.equal(streamed, text)
  const several = await openai.completions.create({ ...request, prompt: [prompt, 'Monday, Tuesday,'], max_tokens: 4 })
  assert.deepEqual(
    several.choices.map((choice) => choice.index),
    [0, 1],
  )
  assert.notEqual(several.choices[0]!.text, several.choices[1]!.text)
})

test('without max_tokens a completion has sixteen tokens', { skip }, async (t) => {
  const openai = await client(t)
  const answer = await openai.completions.create({ model: 'x', prompt: 'One, two, three,', temperature: 0 })
  assert.equal(answer.usage!.completion_tokens, 16)
})

test('models are listed under the name the server gave them', { skip }, async (t) => {
  const openai = await client(t, { modelName: 'org/smol' })
  const models = await Array.fromAsync(await openai.models.list())
  assert.deepEqual(
    models.map((model) => model.id),
    ['org/smol'],
  )
  assert.equal((await openai.models.retrieve('org/smol')).owned_by, 'incipit')
  await assert.rejects(openai.models.retrieve('gpt-4o'), NotFoundError)
})

test('errors arrive as the error classes of the client', { skip }, async (t) => {
  const openai = await client(t, { apiKey: 'right' }, 'right')
  const audio = { voice: 'alloy', format: 'wav' as const }
  await assert.rejects(openai.chat.completions.create({ ...greedy, modalities: ['audio'], audio }), (error) => {
    assert.ok(error instanceof BadRequestError)
    assert.deepEqual([error.code, error.param, error.type], ['unsupported', 'modalities', 'invalid_request_error'])
    return true
  })
  const image = { type: 'image_url' as const, image_url: { url: 'data:image/png;base64,AA==' } }
  const pictured = [{ role: 'user' as const, content: [image] }]
  await assert.rejects(openai.chat.completions.create({ ...greedy, messages: pictured }), (error) => {
    assert.ok(error instanceof BadRequestError)
    assert.deepEqual([error.code, error.param], ['unsupported', 'messages[0].content[0].type'])
    return true
  })
  const long = 'word '.repeat(600)
  for (const stream of [true, false]) {
    const messages = [{ role: 'user' as const, content: long }]
    await assert.rejects(openai.chat.completions.create({ ...greedy, messages, stream }), (error) => {
      assert.ok(error instanceof BadRequestError)
      assert.equal(error.code, 'context_length_exceeded')
      return true
    })
  }
  const stranger = new OpenAI({ baseURL: openai.baseURL, apiKey: 'wrong', maxRetries: 0 })
  await assert.rejects(stranger.models.list(), AuthenticationError)
})

test('abort frees the engine, streaming or not', { skip }, async (t) => {
  const openai = await client(t)
  const endless = { ...greedy, messages: [{ role: 'user' as const, content: 'Count to a thousand.' }], max_tokens: 400 }

  const stream = await openai.chat.completions.create({ ...endless, stream: true })
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break
  await settled(engine())

  const runner = openai.chat.completions.stream(endless)
  runner.once('content', () => runner.abort())
  await assert.rejects(runner.done(), APIUserAbortError)
  await settled(engine())

  const controller = new AbortController()
  const before = engine().stats().generatedTokens
  const pending = openai.chat.completions.create(endless, { signal: controller.signal })
  setTimeout(() => controller.abort(), 150)
  await assert.rejects(pending, APIUserAbortError)
  await settled(engine())
  assert.ok(engine().stats().generatedTokens - before < 300, 'the reply was cut short')
})
