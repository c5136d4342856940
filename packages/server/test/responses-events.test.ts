import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createOpenAI } from '@ai-sdk/openai'
import { IncipitError } from '@incipit/engine/api'
import { streamText } from 'ai'
import OpenAI from 'openai'
import WebSocket from 'ws'
import { delta, done, type FakeEngine, fakeEngine, says } from './fake-engine.ts'
import { serve } from './serve.ts'

// What `/v1/responses` makes of replies and bodies, over an engine that says what a test wants.

const timeout = 20_000

/** An engine whose model thinks, and leaves it to the reply whether it does. */
function thinker(...pieces: string[]): FakeEngine {
  const engine = fakeEngine(says(...pieces.map((text) => delta(text)), done()))
  const info = { ...engine.info, reasoning: { start: '<think>', end: '</think>' } }
  return Object.assign(engine, { info, renderChat: () => 'user: Hello.\nassistant:' })
}

async function openai(t: TestContext, engine: FakeEngine): Promise<OpenAI> {
  const { url } = await serve(t, engine)
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
}

const thoughtful = ['<th', 'ink>He says', ' hi.</thi', 'nk>Hel', 'lo.']

test('reasoning is an item of its own, before the message', { timeout }, async (t) => {
  const client = await openai(t, thinker(...thoughtful))
  const all = await Array.fromAsync(await client.responses.create({ model: 'm', input: 'Hi', stream: true }))
  assert.deepEqual(
    all.map(({ type }) => type.slice('response.'.length)).filter((type) => !type.endsWith('delta')),
    [
      'created',
      'in_progress',
      'output_item.added',
      'content_part.added',
      'reasoning_text.done',
      'content_part.done',
      'output_item.done',
      'output_item.added',
      'content_part.added',
      'output_text.done',
      'content_part.done',
      'output_item.done',
      'completed',
    ],
  )
  assert.deepEqual(
    all.map((event) => event.sequence_number),
    all.map((_, i) => i),
  )
  const whole = await client.responses.create({ model: 'm', input: 'Hi' })
  const [reasoning, message] = whole.output
  assert.ok(reasoning?.type === 'reasoning' && message?.type === 'message')
  assert.deepEqual(reasoning.content, [{ type: 'reasoning_text', text: 'He says hi.' }])
  assert.equal(whole.output_text, 'Hello.')
  assert.ok(whole.usage!.output_tokens_details.reasoning_tokens > 0)
  const final = await client.responses.stream({ model: 'm', input: 'Hi' }).finalResponse()
  assert.equal(final.output_text, 'Hello.')
})

test('reasoning told as a summary is what the AI SDK shows; carried, it comes back to the template', {
  timeout,
}, async (t) => {
  const engine = thinker(...thoughtful)
  const { url } = await serve(t, engine)
  const provider = createOpenAI({ baseURL: `${url}/v1`, apiKey: 'none' })
  const openai = { store: false, forceReasoning: true, reasoningSummary: 'auto', reasoningEffort: 'low' } as const
  const asked = { model: provider.responses('m'), maxRetries: 0, providerOptions: { openai } }
  const stream = streamText({ ...asked, prompt: 'Hi' })
  assert.equal(await stream.reasoningText, 'He says hi.')
  assert.equal(await stream.text, 'Hello.')
  const { messages } = await stream.response
  await streamText({
    ...asked,
    messages: [{ role: 'user', content: 'Hi' }, ...messages, { role: 'user', content: 'And?' }],
  }).text
  const [, second] = engine.requests
  assert.deepEqual(second!.messages, [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: 'Hello.', reasoning: 'He says hi.' },
    { role: 'user', content: 'And?' },
  ])
  assert.equal(second!.template?.variables?.reasoning_effort, 'low')
})

test('items become the messages that templates know', { timeout }, async (t) => {
  const engine = fakeEngine(says(delta('Yes.'), done()))
  const client = await openai(t, engine)
  await client.responses.create({
    model: 'm',
    instructions: 'Be brief.',
    input: [
      { role: 'developer', content: 'Be kind.' },
      { role: 'user', content: [{ type: 'input_text', text: 'Weather?' }] },
      { type: 'reasoning', id: 'rs_1', summary: [], content: [{ type: 'reasoning_text', text: 'Ask the tool.' }] },
      { role: 'assistant', content: 'One moment.' },
      { type: 'function_call', call_id: 'a', name: 'weather', arguments: '{"city":"Rome"}' },
      { type: 'function_call', call_id: 'b', name: 'weather', arguments: '{"city":"Oslo"}' },
      { type: 'function_call_output', call_id: 'a', output: 'hot' },
      { type: 'function_call_output', call_id: 'b', output: [{ type: 'input_text', text: 'cold' }] },
    ],
  })
  assert.deepEqual(engine.requests[0]!.messages, [
    { role: 'system', content: 'Be brief.\n\nBe kind.' },
    { role: 'user', content: 'Weather?' },
    {
      role: 'assistant',
      content: 'One moment.',
      reasoning: 'Ask the tool.',
      toolCalls: [
        { id: 'a', name: 'weather', arguments: '{"city":"Rome"}' },
        { id: 'b', name: 'weather', arguments: '{"city":"Oslo"}' },
      ],
    },
    { role: 'tool', content: 'hot', toolCallId: 'a' },
    { role: 'tool', content: 'cold', toolCallId: 'b' },
  ])
})

test('what cannot be done is refused, and named', { timeout }, async (t) => {
  const { post } = await serve(t, fakeEngine(says(delta('Yes.'), done())))
  const tool = { type: 'function', name: 'f', parameters: {} }
  for (const [body, param, code = 'invalid_request'] of [
    [{}, 'input'],
    [{ input: [] }, 'input'],
    [{ input: [{ role: 'tool', content: 'x' }] }, 'input[0].role'],
    [{ input: [{ type: 'web_search_call' }] }, 'input[0].type', 'unsupported'],
    [
      { input: [{ role: 'user', content: [{ type: 'input_image', image_url: 'x' }] }] },
      'input[0].content[0].type',
      'unsupported',
    ],
    [{ input: [{ type: 'function_call', name: 'f', arguments: '' }] }, 'input[0].call_id'],
    [{ input: [{ type: 'reasoning', id: 'a', summary: [], encrypted_content: 'gAAA' }] }, 'input[0].encrypted_content'],
    [{ input: [{ type: 'item_reference', id: 'msg_none' }] }, 'input[0].id', 'response_not_found'],
    [{ input: 'a', previous_response_id: 'resp_none' }, 'previous_response_id', 'previous_response_not_found'],
    [{ input: 'a', background: true }, 'background', 'unsupported'],
    [{ input: 'a', conversation: 'conv_1' }, 'conversation', 'unsupported'],
    [{ input: 'a', prompt: { id: 'p' } }, 'prompt', 'unsupported'],
    [{ input: 'a', truncation: 'auto' }, 'truncation', 'unsupported'],
    [{ input: 'a', reasoning: { context: 'all_turns' } }, 'reasoning.context', 'unsupported'],
    [{ input: 'a', reasoning: { mode: 'pro' } }, 'reasoning.mode', 'unsupported'],
    [{ input: 'a', max_tokens: 5 }, 'max_tokens', 'unsupported'],
    [{ input: 'a', max_output_tokens: 0 }, 'max_output_tokens'],
    [{ input: 'a', include: ['everything'] }, 'include[0]'],
    [{ input: 'a', metadata: { a: 1 } }, 'metadata.a'],
    [{ input: 'a', tools: [{ type: 'web_search' }] }, 'tools[0].type', 'unsupported'],
    [{ input: 'a', tools: [tool, tool] }, 'tools[1].name'],
    [{ input: 'a', tools: [tool], tool_choice: { type: 'function', name: 'g' } }, 'tool_choice.name'],
    [{ input: 'a', tools: [tool], tool_choice: { type: 'mcp' } }, 'tool_choice.type', 'unsupported'],
    [{ input: 'a', tool_choice: 'required' }, 'tool_choice'],
    [{ input: 'a', text: { format: { type: 'grammar' } } }, 'text.format.type'],
    [{ input: 'a', stream_options: { include_provisional: true } }, 'stream_options'],
  ] as const) {
    const answer = await post('/v1/responses', body)
    const { error } = (await answer.json()) as { error?: { param: string; code: string } }
    assert.deepEqual([error?.param, error?.code], [param, code], JSON.stringify(body))
    assert.equal(answer.status, code === 'response_not_found' ? 404 : 400)
  }
})

test('a tool that is not allowed is not told of', { timeout }, async (t) => {
  const engine = fakeEngine(says(delta('Yes.'), done()))
  const { post } = await serve(t, engine)
  const tools = ['f', 'g'].map((name) => ({ type: 'function', name, parameters: { type: 'object' } }))
  const allowed = { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'g' }] }
  await post('/v1/responses', { input: 'a', tools, tool_choice: allowed })
  const [{ constraint, messages }] = engine.requests as [FakeEngine['requests'][number]]
  assert.ok(constraint?.type === 'structural_tag' && constraint.atLeastOne)
  assert.deepEqual(constraint.tags.length, 1)
  assert.ok(!JSON.stringify(messages).includes('\\"f\\"'))
})

test('a call that is cut off is in no output, and has no end in a stream', { timeout }, async (t) => {
  const begun = ['On it.', '<tool_call>\n{"name": "f", "arguments": {"a"', ': 1'].map((text) => delta(text))
  const client = await openai(t, fakeEngine(says(...begun, done('length'))))
  const tools = [{ type: 'function' as const, name: 'f', parameters: { type: 'object' }, strict: null }]
  const whole = await client.responses.create({ model: 'm', input: 'a', tools })
  assert.equal(whole.status, 'incomplete')
  assert.deepEqual(
    whole.output.map(({ type }) => type),
    ['message'],
  )
  const stream = await client.responses.create({ model: 'm', input: 'a', tools, stream: true })
  const types = (await Array.fromAsync(stream)).map(({ type }) => type)
  assert.deepEqual(types.slice(-3), [
    'response.function_call_arguments.delta',
    'response.function_call_arguments.delta',
    'response.incomplete',
  ])
  const final = await client.responses.stream({ model: 'm', input: 'a', tools }).finalResponse()
  assert.equal(final.output_text, 'On it.')
})

test('what fails later ends the stream with a failed response, or has its status', { timeout }, async (t) => {
  const engine = fakeEngine(async function* () {
    yield delta('Half')
    await new Promise((resolve) => setTimeout(resolve, 5))
    throw new IncipitError('engine_died', 'it died')
  })
  const { post, get } = await serve(t, engine)
  const all = (await Array.fromAsync(lines(await post('/v1/responses', { input: 'a', stream: true })))) as {
    type: string
    sequence_number: number
    response: { id: string; status: string; error: object }
  }[]
  const last = all.at(-1)!
  assert.equal(last.type, 'response.failed')
  assert.equal(last.sequence_number, all.length - 1)
  assert.deepEqual(last.response.error, { code: 'engine_died', message: 'it died' })
  assert.equal((await get(`/v1/responses/${last.response.id}`)).status, 404)
  assert.equal((await post('/v1/responses', { input: 'a' })).status, 503)
})

/** The events of a stream, each with its name. */
async function* lines(response: Response): AsyncGenerator<object> {
  for (const block of (await response.text()).split('\n\n').filter((block) => block !== '')) {
    const [name, data] = block.split('\n')
    const event = JSON.parse(data!.slice('data: '.length)) as { type: string }
    assert.equal(name, `event: ${event.type}`)
    yield event
  }
}

test('a socket answers what is no request, and goes on', { timeout }, async (t) => {
  const { port, get } = await serve(t, fakeEngine(says(delta('Yes.'), done())))
  assert.equal((await get('/v1/responses')).status, 400)
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/responses`)
  t.after(() => socket.terminate())
  await new Promise((resolve) => socket.once('open', resolve))
  const received: { type: string; error?: { code: string; param: string | null } }[] = []
  let told = () => {}
  socket.on('message', (data) => {
    received.push(JSON.parse(String(data)))
    told()
  })
  for (const frame of ['{', '[]', '{"type":"response.steer"}', '{"type":"response.create","stream_id":1}']) {
    socket.send(frame)
  }
  socket.send(Buffer.from('x'))
  socket.send('{"type":"response.create","input":"a"}')
  while (received.at(-1)?.type !== 'response.completed') {
    await new Promise<void>((resolve) => {
      told = resolve
    })
  }
  assert.deepEqual(
    received.filter(({ type }) => type === 'error').map(({ error }) => [error!.code, error!.param]),
    [
      ['invalid_json', null],
      ['invalid_request', null],
      ['unsupported', 'type'],
      ['invalid_request', 'stream_id'],
      ['unsupported', null],
    ],
  )
})
