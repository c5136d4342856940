import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createOpenAI } from '@ai-sdk/openai'
import compile from '@incipit/constraint/compiler'
import { generateText, stepCountIs, streamText, tool } from 'ai'
import OpenAI from 'openai'
import { zodTextFormat } from 'openai/helpers/zod'
import type { ResponseInputItem, ResponseStreamEvent } from 'openai/resources/responses/responses'
import { ResponsesWS } from 'openai/resources/responses/ws'
import { z } from 'zod'
import { constraintChecks } from './constraint-checks.ts'
import { assertFree, assertSays, chatModel, full, loaded, longMessage, missing, onlyFull, settled } from './models.ts'
import { serve } from './serve.ts'
import { assertWeather, weather } from './weather-tool.ts'

// `/v1/responses` on real weights, through the clients that are written for it.

globalThis.AI_SDK_LOG_WARNINGS = false

const skip = missing(chatModel)
const timeout = 60_000
const options = { skip, timeout }
/** Cases that take their time. */
const slow = { skip: skip || onlyFull, timeout }
const engine = loaded(chatModel, { contextLength: 1024, constraints: compile })
const constraints = constraintChecks()

const capital = { model: 'any', input: 'What is the capital of France?', temperature: 0, max_output_tokens: 24 }
const weatherTool = { type: 'function' as const, ...weather, strict: true }
const call = {
  model: 'any',
  input: 'What is the weather in Paris?',
  tools: [weatherTool],
  tool_choice: 'required' as const,
  parallel_tool_calls: false,
  temperature: 0,
  max_output_tokens: 60,
}

async function client(t: TestContext) {
  const server = await serve(t, engine(), { constraints, apiKey: 'secret' })
  const openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'secret', maxRetries: 0 })
  return { ...server, openai }
}

/** The events of a stream, whose numbers and places are those they should have. */
async function eventsOf(stream: AsyncIterable<ResponseStreamEvent>): Promise<ResponseStreamEvent[]> {
  const events = await Array.fromAsync(stream)
  assert.deepEqual(
    events.map((event) => event.sequence_number),
    events.map((_, i) => i),
  )
  let item: { id?: string | undefined } | undefined
  let items = -1
  for (const event of events) {
    if (event.type === 'response.output_item.added') {
      item = event.item as typeof item
      items++
    }
    if ('output_index' in event) assert.equal(event.output_index, items, event.type)
    if ('item_id' in event) assert.equal(event.item_id, item?.id, event.type)
    if ('response' in event) {
      assert.match(event.response.id, /^resp_/)
      assert.ok(event.response.created_at > 1.7e9 && event.response.model === engine().info.name)
    }
  }
  return events
}

/** The types of events, those of deltas once. */
function typesOf(events: readonly ResponseStreamEvent[]): string[] {
  return events.map(({ type }) => type).filter((type, i, all) => !type.endsWith('.delta') || type !== all[i - 1])
}

test('openai: text, whole and streamed, in the order of events that clients know', options, async (t) => {
  const { openai } = await client(t)
  const whole = await openai.responses.create(capital)
  assert.ok(whole.output_text.length > 0)
  assert.ok(whole.status === 'completed' || whole.status === 'incomplete')
  assert.equal(whole.usage?.total_tokens, whole.usage!.input_tokens + whole.usage!.output_tokens)
  const events = await eventsOf(await openai.responses.create({ ...capital, stream: true }))
  assert.deepEqual(typesOf(events), [
    'response.created',
    'response.in_progress',
    'response.output_item.added',
    'response.content_part.added',
    'response.output_text.delta',
    'response.output_text.done',
    'response.content_part.done',
    'response.output_item.done',
    `response.${whole.status}`,
  ])
  const said = events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('')
  assert.equal(said, whole.output_text)
  const final = await openai.responses.stream({ ...capital }).finalResponse()
  assert.equal(final.output_text, whole.output_text)
  await assertFree(engine())
})

test('a reply that a bound cuts off is incomplete, whole and streamed', options, async (t) => {
  const { openai } = await client(t)
  const cut = { ...capital, max_output_tokens: 1 }
  const whole = await openai.responses.create(cut)
  assert.equal(whole.status, 'incomplete')
  assert.equal(whole.incomplete_details?.reason, 'max_output_tokens')
  const last = (await eventsOf(await openai.responses.create({ ...cut, stream: true }))).at(-1)!
  assert.ok(last.type === 'response.incomplete')
  assert.equal(last.response.incomplete_details?.reason, 'max_output_tokens')
})

test(
  'a call comes whole, its name once and its arguments in pieces; one that is cut off is none',
  options,
  async (t) => {
    const { openai } = await client(t)
    const whole = await openai.responses.create(call)
    const [called, ...others] = whole.output
    assert.deepEqual(others, [])
    assert.ok(called?.type === 'function_call' && /^call_/.test(called.call_id))
    assertWeather(called.name, JSON.parse(called.arguments))
    const events = await eventsOf(await openai.responses.create({ ...call, stream: true }))
    assert.deepEqual(typesOf(events), [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.completed',
    ])
    const added = events.find((event) => event.type === 'response.output_item.added')!
    assert.ok(added.item.type === 'function_call' && added.item.arguments === '')
    const pieces = events.map((event) => (event.type === 'response.function_call_arguments.delta' ? event.delta : ''))
    assert.equal(pieces.join(''), called.arguments)
    const final = await openai.responses.stream(call).finalResponse()
    assert.equal((final.output[0] as typeof called).arguments, called.arguments)

    for (const max_output_tokens of full ? [8, 12, 16, 20, 24] : [16]) {
      const cut = await openai.responses.create({ ...call, max_output_tokens })
      assert.deepEqual([cut.status, cut.output], ['incomplete', []], `${max_output_tokens}`)
      const events = await eventsOf(await openai.responses.create({ ...call, max_output_tokens, stream: true }))
      assert.equal(events.at(-1)!.type, 'response.incomplete')
      assert.ok(!events.some(({ type }) => type === 'response.output_item.done'))
    }
  },
)

test('a conversation goes on by the id of its last response, and finds its prompt warm', options, async (t) => {
  const { openai } = await client(t)
  const first = await openai.responses.create({
    ...capital,
    instructions: 'You are a helpful guide.',
    input: `${longMessage} My name is Ada.`,
  })
  const followed = { ...capital, previous_response_id: first.id, instructions: 'You are a helpful guide.' }
  const second = await openai.responses.create({ ...followed, input: 'What is my name?' })
  assert.equal(second.previous_response_id, first.id)
  assert.ok(second.usage!.input_tokens_details.cached_tokens > 200, JSON.stringify(second.usage))
  const items = await Array.fromAsync(openai.responses.inputItems.list(second.id, { order: 'asc', limit: 2 }))
  assert.deepEqual(
    items.map((item) => (item.type === 'message' ? item.role : item.type)),
    ['user', 'assistant', 'user'],
  )

  // The same, as a client says it that keeps the conversation itself: with what it was told, or with references to it.
  const { output } = first
  const question = { role: 'user' as const, content: 'What is my name?' }
  const told = [
    { role: 'user' as const, content: `${longMessage} My name is Ada.` },
    ...(output as ResponseInputItem[]),
    question,
  ]
  const references = items.slice(0, 2).map(({ id }) => ({ type: 'item_reference' as const, id: id! }))
  for (const input of [told, [...references, question]] as ResponseInputItem[][]) {
    const same = await openai.responses.create({ ...capital, instructions: 'You are a helpful guide.', input })
    assert.equal(same.usage!.input_tokens, second.usage!.input_tokens)
    assert.equal(same.output_text, second.output_text)
  }

  assert.equal((await openai.responses.retrieve(first.id)).output_text, first.output_text)
  await openai.responses.delete(first.id)
  await assert.rejects(openai.responses.retrieve(first.id), { status: 404, code: 'response_not_found' })
  const gone = openai.responses.create({ ...followed, input: 'And now?' })
  await assert.rejects(gone, { status: 400, code: 'previous_response_not_found', param: 'previous_response_id' })
  // The second one has all it needs.
  await openai.responses.create({ ...capital, previous_response_id: second.id, input: 'Thanks.' })
  const unkept = await openai.responses.create({ ...capital, store: false })
  await assert.rejects(openai.responses.retrieve(unkept.id), { status: 404 })
})

test('the result of a call becomes part of the conversation', options, async (t) => {
  const { openai } = await client(t)
  const first = await openai.responses.create(call)
  const called = first.output[0]!
  assert.ok(called.type === 'function_call')
  const result = {
    type: 'function_call_output' as const,
    call_id: called.call_id,
    output: 'It is 19 degrees and sunny in Paris.',
  }
  const second = await openai.responses.create({
    ...call,
    tool_choice: 'none',
    previous_response_id: first.id,
    input: [result],
  })
  assertSays(second.output_text, /19|sunny/i)
})

test('parse: text of a schema becomes the value it stands for', options, async (t) => {
  const { openai } = await client(t)
  const City = z.object({ city: z.enum(['Paris', 'Rome']), country: z.string().max(12) })
  const { output_parsed } = await openai.responses.parse({
    ...capital,
    max_output_tokens: 60,
    text: { format: zodTextFormat(City, 'city') },
  })
  assert.ok(City.safeParse(output_parsed).success)
  const stream = openai.responses.stream({
    ...capital,
    max_output_tokens: 60,
    text: { format: zodTextFormat(City, 'c') },
  })
  assert.ok(City.safeParse((await stream.finalResponse()).output_parsed).success)
  const bad = { type: 'json_schema' as const, name: 'a', strict: true, schema: { type: 'string', pattern: '(?=a)b' } }
  const refused = openai.responses.create({ ...capital, text: { format: bad } })
  await assert.rejects(refused, (error: InstanceType<typeof OpenAI.BadRequestError>) => {
    assert.equal(error.status, 400)
    assert.match(error.param!, /^text\.format\.schema/)
    return true
  })
})

test('log-probabilities come with the text, as they do in a chat', options, async (t) => {
  const { openai } = await client(t)
  const asked = {
    ...capital,
    max_output_tokens: 4,
    include: ['message.output_text.logprobs' as const],
    top_logprobs: 2,
  }
  const { output } = await openai.responses.create(asked)
  const [part] = output[0]?.type === 'message' ? output[0].content : []
  assert.ok(part?.type === 'output_text')
  assert.equal(part.logprobs?.map(({ token }) => token).join(''), part.text)
  assert.ok(part.logprobs.every(({ top_logprobs }) => top_logprobs.length === 2))
  const events = await eventsOf(await openai.responses.create({ ...asked, stream: true }))
  const streamed = events.flatMap((event) => (event.type === 'response.output_text.delta' ? event.logprobs : []))
  assert.deepEqual(
    streamed.map(({ token }) => token),
    part.logprobs.map(({ token }) => token),
  )
})

test(
  'the tokens that a response would read are counted, the conversation before it and tools included',
  options,
  async (t) => {
    const { openai } = await client(t)
    const count = async (body: Parameters<typeof openai.responses.inputTokens.count>[0]) =>
      (await openai.responses.inputTokens.count(body)).input_tokens
    const { input } = capital
    const first = await openai.responses.create({ ...capital, max_output_tokens: 4 })
    assert.equal(await count({ input }), first.usage?.input_tokens)
    const goesOn = { previous_response_id: first.id, input: 'And of Spain?' }
    const second = await openai.responses.create({ ...capital, ...goesOn, max_output_tokens: 4 })
    assert.equal(await count(goesOn), second.usage?.input_tokens)
    assert.ok((await count({ input, tools: [weatherTool] })) > (await count({ input })))
    await assert.rejects(count({ input: [{ role: 'user', content: [{ type: 'input_image', detail: 'auto' }] }] }), {
      status: 400,
    })
  },
)

test('prewarm computes a prompt, says nothing, and is gone on with', options, async (t) => {
  const { openai } = await client(t)
  const input = `Once more. ${longMessage}`
  const warm = await openai.responses.create({ ...capital, input, prompt_cache_options: { prewarm: true } })
  assert.deepEqual([warm.status, warm.output], ['completed', []])
  assert.ok(warm.usage!.input_tokens > 200)
  assert.equal(warm.usage!.output_tokens, 0)
  const whole = await openai.responses.create({ ...capital, input })
  assert.ok(whole.usage!.input_tokens_details.cached_tokens >= warm.usage!.input_tokens - 8)
  const next = await openai.responses.create({ ...capital, input: [], previous_response_id: warm.id })
  assert.equal(next.output_text, whole.output_text)
  const streamed = { ...capital, input, stream: true as const, prompt_cache_options: { prewarm: true } }
  assert.deepEqual(typesOf(await eventsOf(await openai.responses.create(streamed))), [
    'response.created',
    'response.in_progress',
    'response.completed',
  ])
})

test("provisional text passes the official client's stream, and its committed text is the same", slow, async (t) => {
  const { openai } = await client(t)
  // A prompt that is warm leaves nothing to look ahead for.
  const plain = { ...capital, input: longMessage, max_output_tokens: 8, cache_prompt: false }
  const shown = { ...plain, stream_options: { include_provisional: true, min_stability: 0 } as object }
  const whole = await openai.responses.create(plain)
  const events = await eventsOf(await openai.responses.create({ ...shown, stream: true }))
  const guesses = events.flatMap((event) => ('provisional' in event ? [event.provisional] : []))
  assert.ok(guesses.length > 0)
  const final = await openai.responses.stream(shown).finalResponse()
  assert.equal(final.output_text, whole.output_text)
})

test('a stream that is aborted at its first event frees the engine', options, async (t) => {
  const { openai } = await client(t)
  const stream = await openai.responses.create({
    model: 'any',
    input: 'Count from 1 to 5000.',
    max_output_tokens: 800,
    stream: true,
  })
  for await (const _ of stream) break
  await settled(engine())
  await assertFree(engine())
})

test('over a WebSocket, as the official client does it', options, async (t) => {
  const { openai } = await client(t)
  const whole = await openai.responses.create(capital)
  const socket = new ResponsesWS(openai)
  t.after(() => socket.close())
  const events: ResponseStreamEvent[] = []
  const next = (request: object) => {
    socket.send({ type: 'response.create', ...capital, ...request })
    return new Promise<{ id: string; output_text?: string; output: object[] }>((resolve, reject) => {
      const done = ({ response }: { response: unknown }) => resolve(response as never)
      socket.once('response.completed', done)
      socket.once('response.incomplete', done)
      socket.once('error', reject)
    })
  }
  socket.on('event', (event) => void events.push(event as ResponseStreamEvent))
  // Nothing of it is kept, and yet the connection knows how it went on.
  const first = await next({ store: false })
  await eventsOf(
    (async function* () {
      yield* events
    })(),
  )
  const text = events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('')
  assert.equal(text, whole.output_text)
  await next({ store: false, previous_response_id: first.id, input: 'Thanks.' })
  await assert.rejects(openai.responses.retrieve(first.id), { status: 404 })
  const warm = await next({ generate: false })
  assert.deepEqual(warm.output, [])
  await assert.rejects(next({ previous_response_id: 'resp_none' }), /resp_none/)
  await assert.rejects(next({ background: true }), /background/)
  // Two lanes, and the connection that closes while they run.
  socket.send({ type: 'response.create', ...capital, stream_id: 'a' })
  socket.send({ type: 'response.create', ...capital, stream_id: 'b' })
  const lanes = new Set<unknown>()
  await new Promise<void>((resolve) => {
    socket.on('event', (event) => {
      lanes.add((event as { stream_id?: string }).stream_id)
      if (lanes.size === 2) resolve()
    })
  })
  assert.deepEqual([...lanes].toSorted(), ['a', 'b'])
  socket.close()
  await settled(engine())
})

test('AI SDK: text, whole and streamed', options, async (t) => {
  const { url } = await serve(t, engine(), { constraints })
  const provider = createOpenAI({ baseURL: `${url}/v1`, apiKey: 'none' })
  const asked = { model: provider.responses('any'), temperature: 0, maxRetries: 0, maxOutputTokens: 24 }
  const { text, usage, finishReason } = await generateText({ ...asked, prompt: capital.input })
  assert.ok(text.length > 0)
  assert.ok(usage.inputTokens! > 0 && ['stop', 'length'].includes(finishReason))
  const errors: unknown[] = []
  const stream = streamText({
    ...asked,
    prompt: capital.input,
    onError: ({ error }) => void errors.push(error),
  })
  assert.equal(await stream.text, text)
  assert.deepEqual(errors, [])
})

test('AI SDK: a tool is run and its result sent back, kept as references or in full', slow, async (t) => {
  const { url } = await serve(t, engine(), { constraints })
  const provider = createOpenAI({ baseURL: `${url}/v1`, apiKey: 'none' })
  const asked = { model: provider.responses('any'), temperature: 0, maxRetries: 0 }
  const inputs: unknown[] = []
  const tools = {
    get_weather: tool({
      description: 'The weather in a city.',
      inputSchema: z.object({ city: z.string().max(12) }),
      execute: async (input) => {
        inputs.push(input)
        return 'sunny'
      },
    }),
  }
  const run = {
    ...asked,
    prompt: call.input,
    tools,
    toolChoice: 'required' as const,
    stopWhen: stepCountIs(2),
    maxOutputTokens: 60,
    // A small model calls on and on.
    providerOptions: { openai: { parallelToolCalls: false } },
  }
  const { steps } = await generateText(run)
  assert.equal(steps.length, 2)
  const streamed = streamText({ ...run, providerOptions: { openai: { parallelToolCalls: false, store: false } } })
  assert.equal((await streamed.steps).length, 2)
  assert.equal(inputs.length, 4)
  assert.ok(inputs.every((input) => typeof (input as { city: unknown }).city === 'string'))
})
