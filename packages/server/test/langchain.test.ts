import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import compile from '@incipit/constraint/compiler'
import type { AIMessageChunk } from '@langchain/core/messages'
import { ChatOpenAI, OpenAI } from '@langchain/openai'
import { z } from 'zod'
import { constraintChecks } from './constraint-checks.ts'
import { assertFree, loaded, missing, settled, shallow } from './models.ts'
import { serve } from './serve.ts'

// LangChain.js, as applications use it: messages, streams, batches, objects, tools.

const skip = missing(shallow)
const timeout = 60_000
const engine = loaded(shallow, { contextLength: 512, constraints: compile })
const constraints = constraintChecks()

const question = 'What is the capital of France?'
const settings = { model: 'any', apiKey: 'none', temperature: 0, maxTokens: 12, maxRetries: 0 }

async function connection(t: TestContext) {
  const { url } = await serve(t, engine(), { constraints })
  return { ...settings, configuration: { baseURL: `${url}/v1` } }
}

test('invoke, stream and batch say the same', { skip, timeout }, async (t) => {
  const chat = new ChatOpenAI(await connection(t))
  const whole: AIMessageChunk = await chat.invoke(question)
  const { input_tokens: asked = 0, output_tokens: said = 0 } = whole.usage_metadata ?? {}
  assert.ok(whole.text.length > 0)
  assert.ok(asked > 5 && said > 0 && said <= 12)
  let streamed = ''
  for await (const chunk of await chat.stream(question)) streamed += chunk.text
  assert.equal(streamed, whole.text)
  const batch = await chat.batch([question, question])
  assert.deepEqual(
    batch.map(({ text }) => text),
    [whole.text, whole.text],
  )
})

test('the completion model goes on with a text', { skip, timeout }, async (t) => {
  const model = new OpenAI(await connection(t))
  const whole = await model.invoke('One two three')
  let streamed = ''
  for await (const piece of await model.stream('One two three')) streamed += piece
  assert.ok(whole.length > 0)
  assert.equal(streamed, whole)
})

test('an object of a schema', { skip, timeout }, async (t) => {
  const person = z.object({ name: z.string().max(12), age: z.int().min(0).max(120) })
  const chat = new ChatOpenAI({ ...(await connection(t)), maxTokens: 60 })
  const structured = chat.withStructuredOutput(person, { name: 'person', method: 'jsonSchema' })
  assert.ok(person.safeParse(await structured.invoke('Invent a person. Answer in JSON.')).success)
})

test('a tool is called with its arguments', { skip, timeout }, async (t) => {
  const chat = new ChatOpenAI({ ...(await connection(t)), maxTokens: 60 })
  const parameters = {
    type: 'object',
    properties: { city: { type: 'string', maxLength: 12 } },
    required: ['city'],
    additionalProperties: false,
  }
  const weather = { type: 'function', function: { name: 'get_weather', parameters } } as const
  const reply = await chat.bindTools([weather], { tool_choice: 'required' }).invoke('What is the weather in Paris?')
  const [call] = reply.tool_calls!
  assert.equal(call?.name, 'get_weather')
  assert.equal(typeof call?.args.city, 'string')
})

test('a request that is aborted leaves nothing behind', { skip, timeout }, async (t) => {
  const chat = new ChatOpenAI({ ...(await connection(t)), maxTokens: 400 })
  const controller = new AbortController()
  const read = async () => {
    for await (const chunk of await chat.stream('Count to a thousand.', { signal: controller.signal })) {
      if (chunk.text !== '') controller.abort()
    }
  }
  await read().catch(() => {})
  assert.ok(controller.signal.aborted)
  await settled(engine())
  await assertFree(engine())
})
