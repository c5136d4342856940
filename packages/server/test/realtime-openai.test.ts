import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import compile from '@incipit/constraint/compiler'
import OpenAI from 'openai'
import { OpenAIRealtimeWS } from 'openai/realtime/ws'
import type { RealtimeServerEvent } from 'openai/resources/realtime/realtime'
import { constraintChecks } from './constraint-checks.ts'
import { assertFree, chatModel, loaded, missing } from './models.ts'
import { serve } from './serve.ts'

// OpenAI's own client of its realtime dialect, with text in both directions.

const options = { skip: missing(chatModel), timeout: 60_000 }
const engine = loaded(chatModel, { contextLength: 1024, constraints: compile })
const constraints = constraintChecks()

class Client {
  readonly events: RealtimeServerEvent[] = []
  readonly socket: OpenAIRealtimeWS
  #read = 0
  #wake = Promise.withResolvers<void>()

  constructor(port: number) {
    const openai = new OpenAI({ baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'none' })
    // It insists on TLS, which a server on the same machine has none of.
    const createConnection = () => connect(port, '127.0.0.1')
    this.socket = new OpenAIRealtimeWS({ model: 'any', options: { createConnection } }, openai)
    this.socket.on('event', (event) => {
      this.events.push(event)
      this.#wake.resolve()
      this.#wake = Promise.withResolvers()
    })
    // They are among the events.
    this.socket.on('error', () => {})
  }

  /** The next event of this type that was not returned yet. */
  async next<T extends RealtimeServerEvent['type']>(type: T): Promise<Extract<RealtimeServerEvent, { type: T }>> {
    for (;;) {
      const event = this.events[this.#read]
      if (event === undefined) await this.#wake.promise
      else {
        this.#read++
        if (event.type === type) return event as Extract<RealtimeServerEvent, { type: T }>
        if (event.type === 'error') assert.fail(`waiting for ${type}: ${JSON.stringify(event.error)}`)
      }
    }
  }
}

async function open(t: TestContext): Promise<Client> {
  const { port } = await serve(t, engine(), { constraints })
  const client = new Client(port)
  t.after(() => client.socket.close())
  const { session } = await client.next('session.created')
  assert.equal(session.type, 'realtime')
  return client
}

const say = (client: Client, text: string) =>
  client.socket.send({
    type: 'conversation.item.create',
    item: { type: 'message', role: 'user', content: [{ type: 'input_text', text }] },
  })

test('a text item is answered in text, by the events that the client knows', options, async (t) => {
  const client = await open(t)
  client.socket.send({
    type: 'session.update',
    session: {
      type: 'realtime',
      output_modalities: ['text'],
      instructions: 'You are a sailor.',
      max_output_tokens: 12,
    },
  })
  const { session } = await client.next('session.updated')
  assert.equal(session.type === 'realtime' && session.instructions, 'You are a sailor.')
  say(client, 'Which animal says meow?')
  const { item } = await client.next('conversation.item.added')
  assert.ok(item.type === 'message' && item.role === 'user')
  client.socket.send({ type: 'response.create', response: { metadata: { topic: 'cats' } } })
  const { response } = await client.next('response.done')
  assert.ok(['completed', 'incomplete'].includes(response.status!))
  assert.deepEqual(response.metadata, { topic: 'cats' })
  assert.ok(response.usage!.input_tokens! > 10 && response.usage!.output_tokens! > 0)

  const begin = client.events.findIndex(({ type }) => type === 'response.created')
  // How far the prompt is may be told at any time.
  const types = client.events
    .slice(begin)
    .map(({ type }) => String(type))
    .filter((type) => type !== 'input_text.progress')
  assert.deepEqual(
    types.filter((type, i) => type !== types[i - 1]),
    [
      'response.created',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'conversation.item.added',
      'conversation.item.done',
      'response.done',
    ],
  )
  let text = ''
  for (const event of client.events) {
    if (event.type === 'response.output_text.delta') {
      text += event.delta
      assert.deepEqual([event.output_index, event.content_index, event.response_id], [0, 0, response.id])
    }
    if (event.type === 'response.output_text.done') assert.equal(event.text, text)
    if (event.type === 'response.content_part.done') assert.deepEqual(event.part, { type: 'text', text })
  }
  const [said] = response.output!
  assert.ok(said?.type === 'message' && said.role === 'assistant')
  assert.deepEqual(said.content, [{ type: 'output_text', text }])
})

test('a function is called and its output sent back', options, async (t) => {
  const client = await open(t)
  const properties = { city: { enum: ['Paris', 'Rome'] } }
  const parameters = { type: 'object', properties, required: ['city'], additionalProperties: false }
  client.socket.send({
    type: 'session.update',
    session: {
      type: 'realtime',
      output_modalities: ['text'],
      tools: [{ type: 'function', name: 'get_weather', description: 'The weather in a city.', parameters }],
      tool_choice: 'required',
      parallel_tool_calls: false,
      max_output_tokens: 60,
    },
  })
  await client.next('session.updated')
  say(client, 'What is the weather in Paris?')
  client.socket.send({ type: 'response.create' })
  const call = await client.next('response.function_call_arguments.done')
  assert.equal(call.name, 'get_weather')
  assert.ok(['Paris', 'Rome'].includes(JSON.parse(call.arguments).city))
  const { response } = await client.next('response.done')
  const [item] = response.output!
  assert.ok(item?.type === 'function_call' && item.call_id === call.call_id)
  client.socket.send({
    type: 'conversation.item.create',
    item: { type: 'function_call_output', call_id: call.call_id, output: 'Sunny.' },
  })
  client.socket.send({ type: 'response.create', response: { tool_choice: 'none', max_output_tokens: 8 } })
  assert.ok((await client.next('response.output_text.done')).text.length > 0)
  await client.next('response.done')
})

test('a response is cancelled; audio is refused by name', options, async (t) => {
  const client = await open(t)
  say(client, 'Count from 1 to 5000.')
  client.socket.send({ type: 'response.create' })
  await client.next('response.output_text.delta')
  client.socket.send({ type: 'response.cancel' })
  const { response } = await client.next('response.done')
  assert.equal(response.status, 'cancelled')
  assert.equal(response.status_details?.reason, 'client_cancelled')

  const errors = () => client.events.flatMap((event) => (event.type === 'error' ? [event.error] : []))
  client.socket.send({ type: 'input_audio_buffer.append', audio: 'AAAA' })
  client.socket.send({ type: 'session.update', session: { type: 'realtime', output_modalities: ['audio'] } })
  client.socket.send({ type: 'response.create', response: { audio: { output: { voice: 'marin' } } } })
  client.socket.send({
    type: 'conversation.item.create',
    item: { type: 'message', role: 'user', content: [{ type: 'input_audio', audio: 'AAAA' }] },
  })
  while (errors().length < 4) await new Promise((resolve) => setTimeout(resolve, 2))
  assert.deepEqual(
    errors().map(({ code, param }) => [code, param]),
    [
      ['unsupported', 'type'],
      ['unsupported', 'session.output_modalities'],
      ['unsupported', 'response.audio'],
      ['unsupported', 'item.content[0].type'],
    ],
  )
  client.socket.close()
  await assertFree(engine())
})

test("Dynamo's events of text that comes in pieces work as they are", options, async (t) => {
  const { port } = await serve(t, engine(), { constraints })
  const client = new Client(port)
  t.after(() => client.socket.close())
  await client.next('session.created')
  // Its own client sends these; of the official one only the types know them not.
  const send = (event: object) => client.socket.socket.send(JSON.stringify(event))
  send({ type: 'session.update', session: { type: 'realtime', model: 'any', max_output_tokens: 8 } })
  await client.next('session.updated')
  send({ type: 'input_text.append', text: 'Which animal ', event_id: 'a' })
  send({ type: 'input_text.append', text: 'barks?' })
  send({ type: 'input_text.clear' })
  send({ type: 'input_text.append', text: 'Which animal ' })
  send({ type: 'input_text.append', text: 'says meow?' })
  send({ type: 'input_text.commit' })
  const { item } = await client.next('conversation.item.done')
  assert.ok(item.type === 'message' && item.role === 'user')
  assert.deepEqual(item.content, [{ type: 'input_text', text: 'Which animal says meow?' }])
  send({ type: 'response.create' })
  assert.ok((await client.next('response.output_text.done')).text.length > 0)
  await client.next('response.done')
})
