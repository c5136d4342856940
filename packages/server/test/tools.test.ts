import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import compile from '@incipit/constraint/compiler'
import { generateText, stepCountIs, tool } from 'ai'
import OpenAI from 'openai'
import { z } from 'zod'
import { constraintChecks } from './constraint-checks.ts'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { assertFree, assertSays, chatModel, loaded, missing } from './models.ts'
import { type Chunk, serve } from './serve.ts'
import { assertWeather, weather } from './weather-tool.ts'

// Tools over HTTP, on a model whose template knows none: what matters is that every call is whole, and one of theirs.

const skip = missing(chatModel)
const timeout = 60_000
const engine = loaded(chatModel, { contextLength: 1024, constraints: compile })
const constraints = constraintChecks()

const weatherTool = { type: 'function' as const, function: { ...weather, strict: true } }
const messages = [{ role: 'user' as const, content: 'What is the weather in Paris?' }]
const request = { model: 'any', messages, tools: [weatherTool], temperature: 0, max_tokens: 60 }

async function client(t: TestContext): Promise<OpenAI> {
  const { url } = await serve(t, engine(), { constraints })
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
}

function assertCall(call: OpenAI.ChatCompletionMessageToolCall | undefined): void {
  assert.ok(call?.type === 'function' && /^call_/.test(call.id))
  assertWeather(call.function.name, JSON.parse(call.function.arguments))
}

test('openai: with a schema for the reply, it is a call or a value of that schema', { skip, timeout }, async (t) => {
  const openai = await client(t)
  const schema = {
    type: 'object',
    properties: { sure: { type: 'boolean' } },
    required: ['sure'],
    additionalProperties: false,
  }
  const form = { type: 'json_schema' as const, json_schema: { name: 'answer', schema, strict: true } }
  const ask = async (over: object) => {
    const { choices } = await openai.chat.completions.create({ ...request, response_format: form, ...over })
    return choices[0]!.message
  }
  // Which of both a small model takes is its own business, so each is told to come.
  const told = '\n<tool_call>\n'
  const said: string[] = []
  for (const logit_bias of [{}, await biasOf(told, 100), await biasOf(told, -100)]) {
    const { content, tool_calls: calls } = await ask({ logit_bias, parallel_tool_calls: false })
    if (calls) for (const call of calls) assertCall(call)
    else assert.equal(typeof JSON.parse(content!).sure, 'boolean')
    said.push(calls ? 'call' : 'value')
  }
  assert.deepEqual(new Set(said), new Set(['call', 'value']))
  const required = await ask({ tool_choice: 'required', parallel_tool_calls: false })
  assertCall(required.tool_calls![0])
  const wrong = { ...form, json_schema: { ...form.json_schema, schema: { $ref: '#/nowhere' } } }
  await assert.rejects(ask({ response_format: wrong }), { status: 400, param: /^response_format\.json_schema\.schema/ })
})

/** A bias for the token that a text begins with behind its first line. */
async function biasOf(text: string, bias: number): Promise<Record<number, number>> {
  const tokens = await engine().tokenize(text.trim())
  return { [tokens[0]!]: bias }
}

test('openai: a required call, whole and streamed, in the pieces that the client puts together', {
  skip,
  timeout,
}, async (t) => {
  const openai = await client(t)
  const required = { ...request, tool_choice: 'required' as const, parallel_tool_calls: false }
  const { choices } = await openai.chat.completions.create(required)
  const { message, finish_reason } = choices[0]!
  assert.equal(finish_reason, 'tool_calls')
  assert.equal(message.content, null)
  const [call] = message.tool_calls!
  assertCall(call)
  assert.ok(call?.type === 'function')

  const names: unknown[] = []
  let json = ''
  let content = ''
  for await (const { choices } of await openai.chat.completions.create({ ...required, stream: true })) {
    const { delta } = choices[0]!
    content += delta.content ?? ''
    for (const piece of delta.tool_calls ?? []) {
      if (piece.function?.name) {
        names.push([piece.index, typeof piece.id, piece.function.name])
        assert.equal(piece.function.arguments, '')
      } else json += piece.function?.arguments ?? ''
    }
  }
  assert.deepEqual(names, [[0, 'string', 'get_weather']])
  assert.equal(content, '')
  assert.equal(json, call.function.arguments)
  const final = await openai.chat.completions.stream(required).finalChatCompletion()
  assertCall(final.choices[0]!.message.tool_calls![0])
  await assertFree(engine())
})

test('a call that a bound cuts off ends as a length, and is not told as whole', { skip, timeout }, async (t) => {
  const openai = await client(t)
  for (const max_tokens of [8, 12, 16, 20]) {
    const cut = { ...request, tool_choice: 'required' as const, max_tokens }
    const { choices } = await openai.chat.completions.create(cut)
    assert.equal(choices[0]!.finish_reason, 'length', `${max_tokens}`)
    assert.equal(choices[0]!.message.tool_calls, undefined)
    let reason: string | null = null
    for await (const chunk of await openai.chat.completions.create({ ...cut, stream: true })) {
      reason = chunk.choices[0]?.finish_reason ?? reason
    }
    assert.equal(reason, 'length')
  }
})

test('the result of a call becomes part of the conversation', { skip, timeout }, async (t) => {
  const openai = await client(t)
  const call = {
    id: 'call_1',
    type: 'function' as const,
    function: { name: 'get_weather', arguments: '{"city": "Paris", "unit": "C"}' },
  }
  const { choices } = await openai.chat.completions.create({
    ...request,
    tool_choice: 'none',
    messages: [
      ...messages,
      { role: 'assistant', content: null, tool_calls: [call] },
      { role: 'tool', tool_call_id: 'call_1', content: 'It is 19 degrees and sunny in Paris.' },
    ],
  })
  assertSays(choices[0]!.message.content!, /19|sunny/i)
})

test('AI SDK: a tool is run and its result sent back', { skip, timeout }, async (t) => {
  const { url } = await serve(t, engine(), { constraints })
  const incipit = createOpenAICompatible({
    name: 'incipit',
    baseURL: `${url}/v1`,
    // A small model calls on and on.
    transformRequestBody: (body) => ({ ...body, parallel_tool_calls: false }),
  })
  const asked: unknown[] = []
  const { steps } = await generateText({
    model: incipit('any'),
    prompt: 'What is the weather in Paris?',
    tools: {
      get_weather: tool({
        description: 'The weather in a city.',
        inputSchema: z.object({ city: z.string().max(12) }),
        execute: async (input) => {
          asked.push(input)
          return 'sunny'
        },
      }),
    },
    toolChoice: 'required',
    stopWhen: stepCountIs(2),
    temperature: 0,
    maxOutputTokens: 60,
    maxRetries: 0,
  })
  assert.equal(steps.length, 2)
  assert.ok(asked.length >= 2 && asked.every((input) => typeof (input as { city: unknown }).city === 'string'))
})

test('openai: the tool runner runs a tool and goes on with its result', { skip, timeout }, async (t) => {
  const openai = await client(t)
  const asked: unknown[] = []
  const runner = openai.chat.completions.runTools(
    {
      model: 'any',
      messages,
      temperature: 0,
      max_tokens: 60,
      parallel_tool_calls: false,
      tool_choice: { type: 'function', function: { name: weather.name } },
      tools: [
        {
          type: 'function',
          function: {
            ...weather,
            parse: JSON.parse,
            function: (input: object) => {
              asked.push(input)
              return 'sunny'
            },
          },
        },
      ],
    },
    { maxChatCompletions: 2 },
  )
  await runner.done()
  assertWeather(weather.name, asked[0])
  assert.equal(runner.messages.find(({ role }) => role === 'tool')?.content, 'sunny')
})

test('two calls that come in one piece are told as two, with all of their arguments', async (t) => {
  const arguments_ = (city: string) => `{"city": "${city}", "unit": "C"}`
  const call = (city: string) => `<tool_call>\n{"name": "get_weather", "arguments": ${arguments_(city)}}\n</tool_call>`
  const cities = ['Paris', '東京 🧑‍🚀']
  const engine = fakeEngine(says(delta(cities.map(call).join('\n'), 40), done()))
  engine.info.chatTemplate = '{% if tools %}<tool_call>'
  const { url } = await serve(t, engine)
  const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  const { choices } = await openai.chat.completions.create(request)
  const streamed = await openai.chat.completions.stream(request).finalChatCompletion()
  for (const { message, finish_reason } of [choices[0]!, streamed.choices[0]!]) {
    assert.equal(finish_reason, 'tool_calls')
    const calls = message.tool_calls!.map((one) => (one.type === 'function' ? one.function : undefined))
    assert.deepEqual(
      calls.map((one) => [one?.name, one?.arguments]),
      cities.map((city) => ['get_weather', arguments_(city)]),
    )
    assert.equal(new Set(message.tool_calls!.map(({ id }) => id)).size, 2)
  }
})

test('schemas that other servers stumble over', { skip, timeout }, async (t) => {
  const { post } = await serve(t, engine(), { constraints })
  const findings = {
    type: 'array',
    maxItems: 50,
    items: { type: 'object', properties: { summary: { type: 'string', maxLength: 2000 } }, required: ['summary'] },
  }
  for (const parameters of [
    { type: 'object', properties: { findings } },
    {
      type: 'object',
      properties: { o: { type: 'object', properties: { s: { type: 'string', pattern: '^[a-z]+$' } } } },
    },
    { type: 'object', properties: { s: { type: 'string', pattern: '\\S' }, t: { type: 'string', maxLength: 65536 } } },
    {},
  ]) {
    const tools = [{ type: 'function', function: { name: 'report', parameters } }]
    const answer = await post('/v1/chat/completions', { messages, tools, max_tokens: 1 })
    assert.equal(answer.status, 200, JSON.stringify(parameters))
  }
  const refs = {
    $defs: { c: { type: 'string', enum: ['x'] } },
    type: 'object',
    properties: { c: { $ref: '#/$defs/c' } },
    required: ['c'],
    additionalProperties: false,
  }
  const tools = [{ type: 'function', function: { name: 'f', parameters: refs, strict: true } }]
  const answer = (await (
    await post('/v1/chat/completions', { messages, tools, tool_choice: 'required', temperature: 0, max_tokens: 40 })
  ).json()) as Chunk
  assert.match(JSON.stringify(answer.choices[0]), /\{\\"c\\": \\"x\\"/)
})
