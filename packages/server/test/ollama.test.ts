import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import compile from '@incipit/constraint/compiler'
import { Ollama } from 'ollama'
import type { ServedEngine } from '../src/index.ts'
import { constraintChecks } from './constraint-checks.ts'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { assertFree, assertSays, chatModel, full, loaded, missing, onlyFull, prelude } from './models.ts'
import { serve } from './serve.ts'
import { assertWeather, weather } from './weather-tool.ts'

// Ollama's own client against /api.

const skip = missing(chatModel)
const long = skip || onlyFull
const timeout = 60_000
const engine = loaded(chatModel, { contextLength: 1024, constraints: compile })
const code = loaded(prelude, { cut: 'none' })
const constraints = constraintChecks()

const messages = [{ role: 'user', content: 'What is the weather in Paris?' }]
const options = { temperature: 0, num_predict: 16 }
const tool = { type: 'function', function: weather }

async function client(t: TestContext): Promise<Ollama & { url: string }> {
  const { url } = await serve(t, engine(), { constraints, modelName: 'smol' })
  return Object.assign(new Ollama({ host: url }), { url })
}

function assertTimes(told: { eval_count: number; eval_duration: number; total_duration: number }): void {
  for (const value of [told.eval_count, told.eval_duration, told.total_duration]) assert.ok(Number.isInteger(value))
  // Nanoseconds: a token takes this model some milliseconds.
  assert.ok(told.eval_duration > told.eval_count * 1e5, JSON.stringify(told))
  assert.ok(told.total_duration >= told.eval_duration, JSON.stringify(told))
}

test('chat, whole and streamed', { skip, timeout }, async (t) => {
  const ollama = await client(t)
  const whole = await ollama.chat({ model: 'any', messages, options })
  assert.deepEqual([whole.model, whole.done, whole.done_reason, whole.eval_count], ['smol', true, 'length', 16])
  assert.ok(whole.message.content.length > 10 && whole.prompt_eval_count > 10)
  assertTimes(whole)
  let text = ''
  let last: typeof whole | undefined
  for await (const part of await ollama.chat({ model: 'any', messages, options, stream: true })) {
    assert.equal(part.message.role, 'assistant')
    text += part.message.content
    last = part
  }
  assert.equal(text, whole.message.content)
  assert.deepEqual([last?.done, last?.done_reason, last?.message.content], [true, 'length', ''])
  assert.equal(last?.prompt_eval_count, whole.prompt_eval_count)
  assertTimes(last!)
  await assertFree(engine())
})

test('a body that says nothing of streams gets lines of JSON', { skip, timeout }, async (t) => {
  const { url } = await client(t)
  const response = await fetch(`${url}/api/chat`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'any', messages, options }),
  })
  assert.match(response.headers.get('content-type')!, /^application\/x-ndjson/)
  const lines = (await response.text()).split('\n')
  assert.equal(lines.pop(), '')
  assert.ok(lines.length > 2)
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).done),
    lines.map((_, i) => i === lines.length - 1),
  )
})

test('generate: a conversation of one message, with a system message, or a raw prompt', {
  skip: long,
  timeout,
}, async (t) => {
  const ollama = await client(t)
  const { content } = messages[0]!
  const chat = await ollama.chat({ model: 'any', messages, options })
  const generated = await ollama.generate({ model: 'any', prompt: content, options })
  assert.equal(generated.response, chat.message.content)
  const system = 'You only speak of cats.'
  const other = await ollama.generate({ model: 'any', prompt: content, system, options })
  const same = await ollama.chat({
    model: 'any',
    messages: [{ role: 'system', content: system }, ...messages],
    options,
  })
  assert.equal(other.response, same.message.content)
  assert.notEqual(other.response, generated.response)
  const rendered = engine().renderChat(messages)
  const raw = await ollama.generate({ model: 'any', prompt: rendered, raw: true, options })
  assert.equal(raw.response, generated.response)
  let streamed = ''
  for await (const { response } of await ollama.generate({ model: 'any', prompt: content, options, stream: true })) {
    streamed += response
  }
  assert.equal(streamed, generated.response)
})

test('a suffix is what stands behind a gap', async (t) => {
  const { url } = await serve(t, code())
  const ollama = new Ollama({ host: url })
  const gap = {
    model: 'any',
    prompt: 'function add(a, b) {\n',
    suffix: '\n}\n',
    options: { ...options, num_predict: 8 },
  }
  const { fim } = code().info
  const prompt = [fim!.begin!, fim!.suffix, gap.suffix, fim!.prefix, gap.prompt, fim!.middle!]
  let expected = ''
  for await (const event of code().generate({ prompt, maxTokens: 8 }))
    if (event.type === 'delta') expected += event.text
  assert.equal((await ollama.generate(gap)).response, expected)
  const { capabilities } = await ollama.show({ model: 'any' })
  assert.ok(capabilities.includes('insert'))
})

test('format: json, or a schema', { skip, timeout }, async (t) => {
  const ollama = await client(t)
  const said = 'Exactly: 🧑‍🚀🏳️‍🌈 你好 ñ ไทย'
  const format = {
    type: 'object',
    properties: { said: { const: said } },
    required: ['said'],
    additionalProperties: false,
  }
  const long = { ...options, num_predict: 100 }
  let text = ''
  for await (const part of await ollama.chat({ model: 'any', messages, format, options: long, stream: true })) {
    assert.doesNotMatch(part.message.content, /\uFFFD/)
    text += part.message.content
  }
  assert.deepEqual(JSON.parse(text), { said })
  const generated = await ollama.generate({ model: 'any', prompt: 'Hello', format, options: long })
  assert.deepEqual(JSON.parse(generated.response ?? ''), { said })
  const json = await ollama.chat({ model: 'any', messages, format: 'json', options: { ...options, num_predict: 2 } })
  assert.match(json.message.content, /^\{/)
})

test('tools: whole calls with objects as arguments, and results by the name of the tool', {
  skip: long,
  timeout,
}, async (t) => {
  // Ollama has no word for a tool that must be called, and a small model does not choose to.
  const willing: ServedEngine = {
    info: engine().info,
    generate: ({ constraint, ...request }) =>
      engine().generate({
        ...request,
        ...(constraint?.type === 'structural_tag' && {
          constraint: { ...constraint, atLeastOne: true, stopAfterFirst: true },
        }),
      }),
  }
  const ollama = new Ollama({ host: (await serve(t, willing)).url })
  const asked = { model: 'any', messages, tools: [tool], options: { ...options, num_predict: 60 } }
  const whole = await ollama.chat(asked)
  const calls = whole.message.tool_calls ?? []
  assert.ok(calls.length > 0, whole.message.content)
  const { name, arguments: input } = calls[0]!.function
  assertWeather(name, input)
  const streamed: unknown[] = []
  for await (const { message } of await ollama.chat({ ...asked, stream: true })) {
    streamed.push(...(message.tool_calls ?? []).map((call) => call.function.arguments))
  }
  assert.deepEqual(
    streamed,
    calls.map((call) => call.function.arguments),
  )
  const answer = await (await client(t)).chat({
    ...asked,
    messages: [
      ...messages,
      { role: 'assistant', content: '', tool_calls: calls.slice(0, 1) },
      { role: 'tool', tool_name: 'get_weather', content: 'It is 19 degrees and sunny in Paris.' },
    ],
  })
  assertSays(answer.message.content, /19|sunny/i)
})

test('thinking is told apart; a model that does not think refuses it', async (t) => {
  const thinker = fakeEngine(says(delta('<think>Hm'), delta('m.</think>\n\nYes'), delta('.'), done('stop')))
  thinker.info.reasoning = { start: '<think>', end: '</think>' }
  thinker.renderChat = () => '<|assistant|>\n'
  const { url } = await serve(t, thinker)
  const ollama = new Ollama({ host: url })
  const whole = await ollama.chat({ model: 'any', messages, think: true })
  assert.deepEqual(whole.message, { role: 'assistant', content: 'Yes.', thinking: 'Hmm.' })
  assert.deepEqual(thinker.requests[0]?.template?.variables, { enable_thinking: true })
  const generated = await ollama.generate({ model: 'any', prompt: 'Hello', think: 'low' })
  assert.deepEqual([generated.response, generated.thinking], ['Yes.', 'Hmm.'])
  assert.deepEqual(thinker.requests[1]?.template?.variables, { reasoning_effort: 'low', enable_thinking: true })
  let thought = ''
  let said = ''
  for await (const { message } of await ollama.chat({ model: 'any', messages, think: false, stream: true })) {
    assert.ok(!(message.thinking && message.content))
    thought += message.thinking ?? ''
    said += message.content
  }
  assert.deepEqual([thought, said], ['Hmm.', 'Yes.'])

  const plain = new Ollama({ host: (await serve(t, fakeEngine(says(done())))).url })
  await assert.rejects(plain.chat({ model: 'any', messages, think: true }), /think/)
})

test('options become what the engine samples with, and without them Ollama’s defaults', async (t) => {
  const fake = fakeEngine(says(delta('a'), done()))
  const ollama = new Ollama({ host: (await serve(t, fake)).url })
  await ollama.chat({ model: 'any', messages })
  const { temperature, topK, topP, maxTokens } = fake.requests[0]!
  assert.deepEqual([temperature, topK, topP, maxTokens], [0.8, 40, 0.9, undefined])
  await ollama.generate({
    model: 'any',
    prompt: 'a',
    raw: true,
    options: { seed: 7, top_k: 5, min_p: 0.1, stop: ['x'], num_predict: 3, repeat_penalty: 1.1, repeat_last_n: -1 },
  })
  const { seed, topK: five, minP, stop, maxTokens: three, repetitionPenalty } = fake.requests[1]!
  assert.deepEqual([seed, five, minP, stop, three, repetitionPenalty], [7, 5, 0.1, ['x'], 3, 1.1])
  assert.equal(fake.requests[1]?.penaltyWindow, Number.MAX_SAFE_INTEGER)
  await ollama.chat({ model: 'any', messages, options: { repeat_penalty: 1.1 } })
  assert.equal(fake.requests[2]?.penaltyWindow, 64)
  await ollama.chat({ model: 'any', messages, options: { repeat_last_n: 0, repeat_penalty: 2 } })
  assert.equal(fake.requests[3]?.repetitionPenalty, undefined)
})

test('log-probabilities come with the text they belong to', { skip: long, timeout }, async (t) => {
  const ollama = await client(t)
  const whole = await ollama.chat({ model: 'any', messages, options, logprobs: true, top_logprobs: 2 })
  assert.equal(whole.logprobs?.length, 16)
  assert.equal(whole.logprobs?.map(({ token }) => token).join(''), whole.message.content)
  assert.equal(whole.logprobs?.[0]?.top_logprobs?.length, 2)
})

test('tags, show, ps and version', { skip, timeout }, async (t) => {
  const ollama = await client(t)
  const { models } = await ollama.list()
  assert.deepEqual(
    models.map(({ name, details }) => [name, details.format, details.family, details.parameter_size]),
    [['smol', 'gguf', 'llama', full ? '135M' : '42.5M']],
  )
  assert.ok(models[0]!.size > 1e7 && /^[0-9a-f]{64}$/.test(models[0]!.digest))
  const shown = await ollama.show({ model: 'smol' })
  assert.match(shown.template, /im_start/)
  const info = shown.model_info as unknown as Record<string, unknown>
  assert.deepEqual([info['general.architecture'], info['llama.context_length']], ['llama', 1024])
  assert.deepEqual(shown.capabilities, ['completion', 'tools'])
  assert.equal((await ollama.ps()).models[0]?.name, 'smol')
  assert.match((await ollama.version()).version, /^\d+\.\d+\.\d+$/)
})

test('without a prompt nothing is said', { skip, timeout }, async (t) => {
  const ollama = await client(t)
  const { done: over, done_reason } = await ollama.chat({ model: 'any', messages: [] })
  assert.deepEqual([over, done_reason], [true, 'load'])
  assert.equal((await ollama.generate({ model: 'any', prompt: '', keep_alive: '5m' })).response, '')
  await assert.rejects(ollama.generate({ model: 'any', prompt: '', keep_alive: 0 }), /keep_alive/)
})

test('errors have Ollama’s shape and name the field', { skip, timeout }, async (t) => {
  const ollama = await client(t)
  const refused = async (body: object, message: RegExp, url = '/api/chat') => {
    const response = await fetch(ollama.url + url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'any', messages, ...body }),
    })
    assert.ok(response.status >= 400 && response.status < 500, JSON.stringify(body))
    const answer = (await response.json()) as { error: string }
    assert.deepEqual(Object.keys(answer), ['error'])
    assert.match(answer.error, message)
  }
  await refused({ messages: [{ role: 'user', content: 'a', images: ['AA=='] }] }, /messages\[0\]\.images/)
  await refused({ options: { num_ctx: 4096 } }, /options\.num_ctx/)
  await refused({ options: { mirostat: 1 } }, /options\.mirostat/)
  await refused({ format: 'yaml' }, /format/)
  await refused({ format: { type: 'nonsense' } }, /^format/)
  await refused({ prompt: 'a', template: '{{ .Prompt }}' }, /template/, '/api/generate')
  await refused({ prompt: 'a', context: [1, 2] }, /context/, '/api/generate')
  await refused({ prompt: 'a', suffix: 'b' }, /fill in the middle/, '/api/generate')
  await refused({ prompt: 'a', system: 'b', raw: true }, /system/, '/api/generate')
  await refused({ input: 'a' }, /embeddings/, '/api/embed')
  await refused({}, /no such route/, '/api/pull')
  await assert.rejects(
    ollama.chat({ model: 'any', messages: [{ role: 'user', content: 'word '.repeat(2000) }] }),
    /tokens/,
  )
})

test('what fails in a stream is its last line', async (t) => {
  const broken = fakeEngine(async function* () {
    yield delta('Yes')
    throw new Error('private')
  })
  const ollama = new Ollama({ host: (await serve(t, broken)).url })
  const parts = await ollama.chat({ model: 'any', messages, stream: true })
  await assert.rejects(Array.fromAsync(parts), /internal error/)
})
