import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import compile from '@incipit/constraint/compiler'
import { generateText, Output } from 'ai'
import OpenAI from 'openai'
import { zodResponseFormat } from 'openai/helpers/zod'
import { z } from 'zod'
import { constraintChecks } from './constraint-checks.ts'
import { assertFree, loaded, missing, shallow } from './models.ts'
import { chunks, committed, serve } from './serve.ts'

// What a reply must look like, over HTTP, with the clients that ask for it.

const skip = missing(shallow)
const timeout = 60_000
const engine = loaded(shallow, { contextLength: 512, constraints: compile })
const constraints = constraintChecks()

const server = (t: TestContext) => serve(t, engine(), { constraints })
const person = z.object({ name: z.string().max(12), age: z.int().min(0).max(120), kind: z.enum(['friend', 'foe']) })
const messages = [{ role: 'user' as const, content: 'Invent a person. Answer in JSON.' }]

test('openai: parse gives an object of the schema', { skip, timeout }, async (t) => {
  const { url } = await server(t)
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  const request = {
    model: 'any',
    messages,
    temperature: 0,
    max_tokens: 80,
    response_format: zodResponseFormat(person, 'person'),
  }
  const { choices } = await openai.chat.completions.parse(request)
  const { parsed } = choices[0]!.message
  assert.ok(parsed && person.safeParse(parsed).success)
  // The same while streaming.
  const final = await openai.chat.completions.stream(request).finalChatCompletion()
  assert.deepEqual(final.choices[0]!.message.parsed, parsed)
})

test('AI SDK: an object as output', { skip, timeout }, async (t) => {
  const { url } = await server(t)
  const incipit = createOpenAICompatible({ name: 'incipit', baseURL: `${url}/v1`, supportsStructuredOutputs: true })
  const { output } = await generateText({
    model: incipit('any'),
    prompt: 'Invent a person. Answer in JSON.',
    output: Output.object({ schema: person }),
    temperature: 0,
    maxOutputTokens: 80,
    maxRetries: 0,
  })
  assert.ok(person.safeParse(output).success)
})

test('every form, whole and streamed, in both endpoints', { skip, timeout }, async (t) => {
  const { post } = await server(t)
  const forms: [object, RegExp][] = [
    [{ guided_choice: ['yes', 'no'] }, /^(yes|no)$/],
    [{ guided_regex: '[a-c]{3}' }, /^[a-c]{3}$/],
    [{ grammar: 'root ::= [0-9]+ " apples"' }, /^\d+( apples)?$/],
    [{ structured_outputs: { json: { type: 'integer', minimum: 0, maximum: 9 } } }, /^\d$/],
    [{ response_format: { type: 'json_object' } }, /^\{/],
  ]
  for (const [form, expected] of forms) {
    const body = { temperature: 0, max_tokens: 12, ...form }
    const chat = { ...body, messages }
    const whole = (await (await post('/v1/chat/completions', chat)).json()) as {
      choices: { message: { content: string } }[]
    }
    const text = whole.choices[0]!.message.content
    assert.match(text, expected)
    const streamed = await chunks(await post('/v1/chat/completions', { ...chat, stream: true }))
    assert.equal(committed(streamed), text)
    const plain = await chunks(await post('/v1/completions', { ...body, prompt: 'A: ', stream: true }))
    assert.match(committed(plain), expected)
  }
  await assertFree(engine())
})

test('what cannot be compiled is a 400 that names the place, and nothing of it stays', { skip, timeout }, async (t) => {
  const { post } = await server(t)
  const refused = async (over: object, param: string, message: RegExp) => {
    const response = await post('/v1/chat/completions', { messages, ...over })
    assert.equal(response.status, 400)
    const { error } = (await response.json()) as { error: { param: string; code: string; message: string } }
    assert.deepEqual([error.code, error.param], ['invalid_request', param])
    assert.match(error.message, message)
  }
  const schema = { type: 'object', properties: { tags: { type: 'array', uniqueItems: true } } }
  const format = (strict: boolean) => ({
    response_format: { type: 'json_schema', json_schema: { name: 'x', strict, schema } },
  })
  await refused(format(true), 'response_format.json_schema.schema.properties.tags', /"uniqueItems" cannot be enforced/)
  await refused({ guided_regex: '(' }, 'guided_regex', /unclosed group/)
  await refused({ grammar: 'root ::= a' }, 'grammar', /"root" uses "a"/)
  // Without `strict` it is enforced as far as possible.
  const lenient = await post('/v1/chat/completions', { messages, max_tokens: 20, ...format(false) })
  assert.equal(lenient.status, 200)
  await assertFree(engine())
})
