import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { APICallError, generateText, streamText } from 'ai'
import { loaded, longMessage, longReply, missing, settled, shallow } from './models.ts'
import { type Chunk, serve } from './serve.ts'

const skip = missing(shallow)
const engine = loaded(shallow, { contextLength: 512 })

// Warnings about options that the client itself does not pass on; they are not the subject here.
globalThis.AI_SDK_LOG_WARNINGS = false

const request = { temperature: 0, maxOutputTokens: 8, maxRetries: 0 }

async function provider(t: TestContext, streamOptions?: object, extra?: object) {
  const server = await serve(t, engine())
  return createOpenAICompatible({
    name: 'incipit',
    baseURL: `${server.url}/v1`,
    includeUsage: true,
    // Its own `includeUsage` fills `stream_options`; what it does not know goes in here.
    transformRequestBody: (body) =>
      body.stream ? { ...body, ...extra, stream_options: { ...body.stream_options, ...streamOptions } } : body,
  })
}

test('generateText', { skip }, async (t) => {
  const incipit = await provider(t)
  const { text, finishReason, usage } = await generateText({ model: incipit('any'), ...request, prompt: longMessage })
  assert.equal(text, await longReply(engine()))
  assert.ok(finishReason === 'stop' || finishReason === 'length')
  assert.ok(usage.inputTokens! > 200)
  assert.ok(usage.outputTokens! > 1 && usage.outputTokens! <= 8)
})

test('streamText passes over provisional chunks', { skip }, async (t) => {
  // A prompt that is warm leaves nothing to look ahead for.
  const incipit = await provider(t, { include_provisional: true, min_stability: 0 }, { cache_prompt: false })
  const errors: unknown[] = []
  const stream = streamText({
    model: incipit('any'),
    ...request,
    prompt: longMessage,
    includeRawChunks: true,
    onError: ({ error }) => {
      errors.push(error)
    },
  })
  let text = ''
  let provisional = 0
  for await (const part of stream.stream) {
    if (part.type === 'text-delta') text += part.text
    if (part.type === 'raw' && (part.rawValue as Chunk).provisional) provisional++
  }
  assert.deepEqual(errors, [])
  assert.ok(provisional > 0)
  assert.equal(text, await longReply(engine()))
  assert.ok(['stop', 'length'].includes(await stream.finishReason))
  assert.ok((await stream.usage).outputTokens! <= 8)
})

test('the completion model streams too', { skip }, async (t) => {
  const prompt = 'What is the capital of France?'
  const incipit = await provider(t)
  const { text } = await generateText({ model: incipit.completionModel('any'), ...request, prompt })
  const stream = streamText({ model: incipit.completionModel('any'), ...request, prompt })
  assert.ok(text.length > 0)
  assert.equal(await stream.text, text)
})

test('a refused parameter is an APICallError that names it', { skip }, async (t) => {
  const incipit = await provider(t)
  const refused = generateText({ model: incipit('any'), ...request, prompt: 'Hi', frequencyPenalty: 3 })
  await assert.rejects(refused, (error) => {
    assert.ok(APICallError.isInstance(error))
    assert.equal(error.statusCode, 400)
    assert.match(error.message, /^frequency_penalty: /)
    assert.equal(error.isRetryable, false)
    return true
  })
})

test('an abort signal frees the engine', { skip }, async (t) => {
  const incipit = await provider(t)
  const controller = new AbortController()
  const stream = streamText({
    model: incipit('any'),
    prompt: 'Count to a thousand.',
    maxOutputTokens: 400,
    abortSignal: controller.signal,
  })
  for await (const part of stream.stream) if (part.type === 'text-delta') controller.abort()
  await settled(engine())
})
