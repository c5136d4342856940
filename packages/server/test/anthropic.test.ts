import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import compile from '@incipit/constraint/compiler'
import { constraintChecks } from './constraint-checks.ts'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { assertFree, assertSays, chatModel, loaded, missing, onlyFull, settled } from './models.ts'
import { serve } from './serve.ts'
import { assertWeather, weather } from './weather-tool.ts'

// Anthropic's own client against /v1/messages.

const skip = missing(chatModel)
const long = skip || onlyFull
const timeout = 60_000
const engine = loaded(chatModel, { contextLength: 1024, constraints: compile })
const constraints = constraintChecks()

const messages = [{ role: 'user' as const, content: 'What is the weather in Paris?' }]
const request = { model: 'any', messages, temperature: 0, max_tokens: 16 }
const { parameters: input_schema, ...described } = weather
const tool: Anthropic.Tool = { ...described, input_schema, strict: true }

async function client(t: TestContext, options: { apiKey?: string } = {}): Promise<Anthropic> {
  const { url } = await serve(t, engine(), { constraints, ...options })
  return new Anthropic({ baseURL: url, apiKey: options.apiKey ?? 'none', maxRetries: 0 })
}

const textOf = ({ content }: Anthropic.Message) =>
  content.map((block) => (block.type === 'text' ? block.text : '')).join('')

test('text, whole and streamed, in the order of events that the client checks', { skip, timeout }, async (t) => {
  const anthropic = await client(t)
  const whole = await anthropic.messages.create(request)
  assert.deepEqual([whole.type, whole.role, whole.stop_reason], ['message', 'assistant', 'max_tokens'])
  assert.match(whole.id, /^msg_/)
  assert.ok(textOf(whole).length > 10)
  assert.equal(whole.usage.output_tokens, 16)

  const types: string[] = []
  const stream = anthropic.messages.stream(request).on('streamEvent', ({ type }) => types.push(type))
  const final = await stream.finalMessage()
  assert.equal(textOf(final), textOf(whole))
  assert.equal(final.stop_reason, 'max_tokens')
  const input = ({ usage }: Anthropic.Message) => usage.input_tokens + usage.cache_read_input_tokens!
  assert.equal(input(final), input(whole))
  assert.deepEqual(
    types.filter((type, i) => type !== types[i - 1]),
    [
      'message_start',
      'content_block_start',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ],
  )
  await assertFree(engine())
})

test('system as text or blocks is the same prompt; cache_control is accepted and told in usage', {
  skip,
  timeout,
}, async (t) => {
  const anthropic = await client(t)
  const long = 'You answer in the words of an old sailor. '.repeat(8)
  const asText = await anthropic.messages.create({ ...request, system: long, max_tokens: 4 })
  const asked = {
    ...request,
    max_tokens: 4,
    system: [{ type: 'text' as const, text: long, cache_control: { type: 'ephemeral' as const } }],
  }
  const asBlocks = await anthropic.messages.create(asked)
  assert.equal(textOf(asBlocks), textOf(asText))
  assert.ok(asBlocks.usage.cache_read_input_tokens! > 80, JSON.stringify(asBlocks.usage))
  assert.equal(asBlocks.usage.cache_creation_input_tokens, 0)
  const counted = await anthropic.messages.countTokens({ model: 'any', messages, system: asked.system })
  assert.equal(counted.input_tokens, asBlocks.usage.input_tokens + asBlocks.usage.cache_read_input_tokens!)
  const streamed = await anthropic.messages.stream(asked).finalMessage()
  assert.ok(streamed.usage.cache_read_input_tokens! > 80)
})

test('max_tokens 0 computes the prompt for those that begin alike', { skip: long, timeout }, async (t) => {
  const anthropic = await client(t)
  const system = 'You know everything about the lighthouses of the north. '.repeat(4)
  const warmed = await anthropic.messages.create({ ...request, system, max_tokens: 0 })
  assert.deepEqual([warmed.content, warmed.usage.output_tokens], [[], 0])
  const { usage } = await anthropic.messages.create({ ...request, system, max_tokens: 1 })
  assert.ok(usage.cache_read_input_tokens! > 40, JSON.stringify(usage))
})

test('a stop sequence ends the reply and is told', { skip, timeout }, async (t) => {
  const anthropic = await client(t)
  const text = textOf(await anthropic.messages.create(request))
  const word = text.split(' ')[3]!
  for (const message of [
    await anthropic.messages.create({ ...request, stop_sequences: ['never said', word] }),
    await anthropic.messages.stream({ ...request, stop_sequences: ['never said', word] }).finalMessage(),
  ]) {
    assert.deepEqual([message.stop_reason, message.stop_sequence], ['stop_sequence', word])
    assert.equal(textOf(message), text.slice(0, text.indexOf(word)))
  }
})

test('a tool that must be used, whole and streamed, and its result', { skip, timeout }, async (t) => {
  const anthropic = await client(t)
  const asked = {
    ...request,
    max_tokens: 60,
    tools: [tool],
    tool_choice: { type: 'any' as const, disable_parallel_tool_use: true },
  }
  const whole = await anthropic.messages.create(asked)
  assert.equal(whole.stop_reason, 'tool_use')
  const [use] = whole.content
  assert.ok(use?.type === 'tool_use' && /^toolu_/.test(use.id))
  assertWeather(use.name, use.input)

  const streamed = await anthropic.messages.stream(asked).finalMessage()
  const [again] = streamed.content
  assert.ok(again?.type === 'tool_use')
  assert.deepEqual([again.input, streamed.stop_reason], [use.input, 'tool_use'])

  const { input_tokens } = await anthropic.messages.countTokens({ model: 'any', messages, tools: [tool] })
  assert.ok(input_tokens > 80)
  const answer = await anthropic.messages.create({
    ...request,
    max_tokens: 24,
    tools: [tool],
    tool_choice: { type: 'none' },
    messages: [
      ...messages,
      { role: 'assistant', content: [{ type: 'tool_use', id: use.id, name: use.name, input: use.input }] },
      {
        role: 'user',
        content: [
          {
            type: 'tool_result',
            tool_use_id: use.id,
            content: [{ type: 'text', text: 'It is 19 degrees and sunny in Paris.' }],
          },
          { type: 'text', text: 'So, what is the weather?' },
        ],
      },
    ],
  })
  assertSays(textOf(answer), /19|sunny/i)
})

test('a call that max_tokens cuts off is not told as whole', { skip, timeout }, async (t) => {
  const anthropic = await client(t)
  const cut = { ...request, tools: [tool], tool_choice: { type: 'any' as const } }
  const { content, stop_reason } = await anthropic.messages.create(cut)
  assert.deepEqual([content, stop_reason], [[], 'max_tokens'])
  let reason: string | null = null
  for await (const event of await anthropic.messages.create({ ...cut, stream: true })) {
    if (event.type === 'message_delta') reason = event.delta.stop_reason
  }
  assert.equal(reason, 'max_tokens')
})

test('output_config.format is what the reply looks like', { skip, timeout }, async (t) => {
  const anthropic = await client(t)
  const said = 'Exactly: 🧑‍🚀🏳️‍🌈 你好 ñ ไทย'
  const schema = {
    type: 'object',
    properties: { said: { const: said } },
    required: ['said'],
    additionalProperties: false,
  }
  const asked = { ...request, max_tokens: 100, output_config: { format: { type: 'json_schema' as const, schema } } }
  let text = ''
  for await (const event of await anthropic.messages.create({ ...asked, stream: true })) {
    if (event.type !== 'content_block_delta' || event.delta.type !== 'text_delta') continue
    assert.doesNotMatch(event.delta.text, /\uFFFD/)
    text += event.delta.text
  }
  assert.deepEqual(JSON.parse(text), { said })
  const wrong = { type: 'object', properties: { a: { type: 'nonsense' } } }
  await assert.rejects(
    anthropic.messages.create({ ...asked, output_config: { format: { type: 'json_schema', schema: wrong } } }),
    /output_config\.format\.schema/,
  )
  // Its former place.
  const former = { ...request, max_tokens: 100, output_format: { type: 'json_schema', schema } }
  const { content } = await anthropic.post<Anthropic.Message>('/v1/messages', { body: former })
  assert.deepEqual(JSON.parse(content[0]!.type === 'text' ? content[0]!.text : ''), { said })
  const wrongFormer = { ...former, output_format: { type: 'json_schema', schema: wrong } }
  await assert.rejects(anthropic.post('/v1/messages', { body: wrongFormer }), /output_format\.schema/)
})

test('a thinking model: blocks begin, grow and end one after the other, thoughts are signed', async (t) => {
  const thinker = fakeEngine(says(delta('<think>Hm'), delta('m.</thi'), delta('nk>\n\nYes'), delta('.'), done('stop')))
  thinker.info.reasoning = { start: '<think>', end: '</think>' }
  thinker.renderChat = () => '<|assistant|>\n'
  const { url } = await serve(t, thinker)
  const anthropic = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 })
  const asked = { ...request, thinking: { type: 'adaptive' as const } }
  const expected = [
    { type: 'thinking', thinking: 'Hmm.', signature: 'unsigned' },
    { type: 'text', text: 'Yes.', citations: null },
  ]
  assert.deepEqual((await anthropic.messages.create(asked)).content, expected)
  assert.deepEqual((await anthropic.messages.stream(asked).finalMessage()).content, expected)
  assert.deepEqual(thinker.requests[0]?.template?.variables, { enable_thinking: true })

  const omitted = { ...asked, thinking: { type: 'adaptive' as const, display: 'omitted' as const } }
  for (const { content } of [
    await anthropic.messages.create(omitted),
    await anthropic.messages.stream(omitted).finalMessage(),
  ]) {
    assert.deepEqual(content[0], { type: 'thinking', thinking: '', signature: 'unsigned' })
  }

  // What it thought comes back to it.
  await anthropic.messages.create({
    ...asked,
    messages: [...messages, { role: 'assistant', content: expected as Anthropic.ContentBlockParam[] }, ...messages],
  })
  assert.deepEqual(thinker.requests.at(-1)?.messages?.[1], { role: 'assistant', content: 'Yes.', reasoning: 'Hmm.' })
})

test('message_start comes before the first token', { timeout: 10_000 }, async (t) => {
  let say = () => {}
  const waits = new Promise<void>((resolve) => {
    say = resolve
  })
  const slow = fakeEngine(async function* () {
    await waits
    yield delta('Yes.')
    yield done('stop')
  })
  slow.generate = (
    (generate) => (wanted) =>
      Object.assign(generate(wanted), { accepted: Promise.resolve() })
  )(slow.generate)
  const { url } = await serve(t, slow)
  const anthropic = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 })
  for await (const event of await anthropic.messages.create({ ...request, stream: true })) {
    // Only now the engine says something: otherwise this waits for ever.
    if (event.type === 'message_start') say()
  }
})

test('a client that leaves, at any event, leaves nothing behind', { skip, timeout }, async (t) => {
  const anthropic = await client(t)
  for (const last of ['message_start', 'content_block_start', 'content_block_delta']) {
    for await (const { type } of await anthropic.messages.create({ ...request, max_tokens: 900, stream: true })) {
      if (type === last) break
    }
    assert.ok((await settled(engine())) < 1000, last)
  }
  await assertFree(engine())
})

test("errors have Anthropic's shape, and name the field", { skip, timeout }, async (t) => {
  const anthropic = await client(t, { apiKey: 'secret' })
  await anthropic.messages.create({ ...request, max_tokens: 1 })
  const refused = async (body: object, status: number, type: string, message: RegExp) => {
    const error = await anthropic.messages.create({ ...request, ...body } as typeof request).then(
      () => undefined,
      (error: unknown) => error,
    )
    assert.ok(error instanceof Anthropic.APIError, `${JSON.stringify(body)} is refused`)
    assert.equal(error.status, status)
    assert.equal(error.type, type)
    assert.match(error.message, message)
    assert.match(error.requestID ?? '', /^req_/)
  }
  const bad = 'invalid_request_error'
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AA==' } }
  await refused({ messages: [{ role: 'user', content: [image] }] }, 400, bad, /messages\[0\]\.content\[0\]\.type/)
  const result = { type: 'tool_result', tool_use_id: 'x', content: [image] }
  await refused({ messages: [{ role: 'user', content: [result] }] }, 400, bad, /content\[0\]\.content\[0\]\.type/)
  await refused({ max_tokens: undefined }, 400, bad, /max_tokens/)
  await refused({ messages: [] }, 400, bad, /messages/)
  await refused({ temperature: 1.5 }, 400, bad, /temperature/)
  await refused({ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }, 400, bad, /tools\[0\]\.type/)
  await refused({ tools: [tool, tool] }, 400, bad, /tools\[1\]\.name/)
  await refused({ tools: [tool], tool_choice: { type: 'tool', name: 'x' } }, 400, bad, /tool_choice\.name/)
  await refused({ container: 'c' }, 400, bad, /container/)
  await refused({ compaction: { type: 'compaction' } }, 400, bad, /compaction/)
  await refused({ thread: { type: 'create' } }, 400, bad, /thread/)
  await refused({ messages: [{ role: 'user', content: 'word '.repeat(2000) }] }, 400, bad, /prompt is too long/)

  const stranger = new Anthropic({ baseURL: anthropic.baseURL, apiKey: 'wrong', maxRetries: 0 })
  const error = await stranger.messages.create(request).catch((error: unknown) => error)
  assert.ok(error instanceof Anthropic.AuthenticationError)
  assert.equal(error.type, 'authentication_error')
})

test('what fails in a stream is its last event', async (t) => {
  const broken = fakeEngine(async function* () {
    yield delta('Yes')
    throw new Error('private')
  })
  const { url } = await serve(t, broken)
  const anthropic = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 })
  await assert.rejects(anthropic.messages.stream(request).finalMessage(), (error) => {
    assert.ok(error instanceof Anthropic.APIError)
    assert.equal(error.type, 'api_error')
    assert.doesNotMatch(error.message, /private/)
    return true
  })
})
