import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import compile from '@incipit/constraint/compiler'
import { constraintChecks } from './constraint-checks.ts'
import { assertFree, loaded, missing, shallow } from './models.ts'
import { RealtimeClient, type ServerEvent } from './realtime-client.ts'
import { type Chunk, type Served, serve } from './serve.ts'

// What a reply must look like, and calls of tools, over the socket: by the same rules as over HTTP.

const options = { skip: missing(shallow), timeout: 60_000 }
const engine = loaded(shallow, { contextLength: 1024, constraints: compile })
const constraints = constraintChecks()

const greedy = { temperature: 0, max_output_tokens: 60 }

async function open(t: TestContext, session: object): Promise<{ server: Served; client: RealtimeClient }> {
  const server = await serve(t, engine(), { constraints })
  const client = await RealtimeClient.open(server)
  t.after(() => client.close())
  await client.configure({ ...greedy, ...session })
  return { server, client }
}

/** The error that an event is answered with. */
async function refused(
  client: RealtimeClient,
  type: string,
  fields: object,
): Promise<NonNullable<ServerEvent['error']>> {
  const from = client.events.length
  client.send(type, { ...fields, event_id: 'mine' })
  for (;;) {
    const event = client.events.slice(from).find(({ type }) => type === 'error')
    if (event) {
      client.skip()
      assert.equal(event.error!.event_id, 'mine')
      return event.error!
    }
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

const person = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 12 }, age: { type: 'integer', minimum: 0, maximum: 120 } },
  required: ['name', 'age'],
  additionalProperties: false,
}
const asPerson = { type: 'json_schema', json_schema: { name: 'person', schema: person, strict: true } }

function assertPerson(text: string): void {
  const { name, age, ...rest } = JSON.parse(text)
  assert.ok(typeof name === 'string' && Number.isInteger(age), text)
  assert.deepEqual(rest, {})
}

test('replies of a session have its form, until it has another one or none', options, async (t) => {
  const { client } = await open(t, { response_format: asPerson })
  assertPerson((await client.ask('Who is your friend?')).text)
  const { session } = await client.configure({ guided_choice: ['yes', 'no'] })
  assert.equal(session!.response_format, undefined)
  assert.match((await client.ask('Is the sky blue?')).text, /^(yes|no)$/)
  // Of one response alone.
  client.send('response.create', { response: { grammar: 'root ::= "red" | "blue"' } })
  assert.match((await client.reply()).text, /^(red|blue)$/)
  client.send('response.create')
  assert.match((await client.reply()).text, /^(yes|no)$/)
  const months = [{ role: 'user', content: 'List the months of the year.' }]
  client.send('conversation.replace', { messages: months })
  client.send('response.create', { response: { response_format: { type: 'text' }, max_output_tokens: 12 } })
  assert.doesNotMatch((await client.reply()).text, /^(yes|no)$/)
  await client.configure({ guided_choice: null, max_output_tokens: 12 })
  client.send('conversation.replace', { messages: months })
  client.send('response.create')
  assert.doesNotMatch((await client.reply()).text, /^(yes|no)$/)
})

test('a raw text may have a form, too', options, async (t) => {
  const { client } = await open(t, { raw: true, guided_regex: '[0-9]{4}' })
  assert.match((await client.ask('The year was ')).text, /^\d{4}$/)
  const tools = [{ type: 'function', name: 'f' }]
  assert.equal((await refused(client, 'session.update', { session: { tools } })).param, 'session.tools')
})

test(
  'a reply begun in a pause has the form of the session, and is dropped for one of another form',
  options,
  async (t) => {
    const { client } = await open(t, { response_format: asPerson, speculate: 'reply', provisional: true })
    const question = 'Who is your friend?'
    client.send('input_text.append', { text: question })
    const preview = await client.next('response.output_text.provisional')
    assert.equal(preview.provisional!.source, 'input')
    assert.ok(preview.provisional!.text.startsWith('{'))
    client.send('input_text.commit')
    client.send('response.create')
    const reply = await client.reply()
    assertPerson(reply.text)
    const view = client.views.get(reply.response_id!)!
    assert.equal(reply.response_id, preview.response_id)
    assert.equal(view.committed, reply.text)
    const shown = client.events.flatMap(({ provisional }) =>
      provisional?.source === 'input' ? [provisional.text] : [],
    )
    for (const text of shown) assert.ok(reply.text.startsWith(text), text)

    client.send('input_text.append', { text: question })
    await client.next('response.output_text.provisional')
    client.send('input_text.commit')
    client.send('response.create', { response: { guided_choice: ['Ada', 'Bob'] } })
    assert.match((await client.reply()).text, /^(Ada|Bob)$/)

    // Changed while it is made: what was begun has the former form.
    client.send('input_text.append', { text: 'Is the sky blue?' })
    await client.next('response.output_text.provisional')
    await client.configure({ guided_choice: ['yes', 'no'] })
    client.send('input_text.commit')
    client.send('response.create')
    assert.match((await client.reply()).text, /^(yes|no)$/)
    await client.close()
    await assertFree(engine())
  },
)

test('what is typed through a preview of a raw text does not count for its form', options, async (t) => {
  const { client } = await open(t, { raw: true, guided_regex: '[0-9]{4}', speculate: 'reply', provisional: true })
  client.send('input_text.append', { text: 'The year was ' })
  let preview = ''
  while (preview.length < 4) preview = (await client.next('response.output_text.provisional')).provisional!.text
  client.send('input_text.append', { text: preview[0] })
  client.send('input_text.commit')
  client.send('response.create')
  assert.match((await client.reply()).text, /^\d{4}$/)
})

test('a form that cannot be is refused by its place, and changes nothing', options, async (t) => {
  const { client } = await open(t, { guided_choice: ['yes', 'no'] })
  const wrong = { type: 'json_schema', json_schema: { schema: { $ref: '#/nowhere' }, strict: true } }
  const { param } = await refused(client, 'session.update', { session: { response_format: wrong, temperature: 1 } })
  assert.match(param!, /^session\.response_format\.json_schema\.schema/)
  client.send('input_text.append', { text: 'Is the sky blue?' })
  client.send('input_text.commit')
  const response = await refused(client, 'response.create', { response: { guided_regex: '(' } })
  assert.equal(response.param, 'response.guided_regex')
  client.send('response.create')
  assert.match((await client.reply()).text, /^(yes|no)$/)
})

test('a token that is banned for a session is not said in it, until it is allowed again', options, async (t) => {
  const { client } = await open(t, { max_output_tokens: 4, ignore_eos: true })
  const question = 'What is the opposite of hot?'
  const { text } = await client.ask(question)
  const [first] = engine().tokenize(text)
  client.send('conversation.replace', { messages: [] })
  await client.configure({ logit_bias: { [first!]: -100 } })
  const banned = await client.ask(question)
  assert.notEqual(engine().tokenize(banned.text)[0], first)
  assert.equal(banned.usage!.completion_tokens, 4)
  client.send('conversation.replace', { messages: [] })
  await client.configure({ logit_bias: { [first!]: 100 } })
  const forced = await client.ask(question)
  assert.ok(forced.text.startsWith(engine().detokenize([first!]).repeat(2)), forced.text)
})

const weather = {
  type: 'function',
  name: 'get_weather',
  description: 'The weather in a city.',
  parameters: {
    type: 'object',
    properties: { city: { enum: ['Paris', 'Rome'] }, unit: { enum: ['C', 'F'] } },
    required: ['city', 'unit'],
    additionalProperties: false,
  },
}
const required = { tools: [weather], tool_choice: 'required', parallel_tool_calls: false }

test(
  'a tool is called, its result comes back, and the conversation is that of the same over HTTP',
  options,
  async (t) => {
    const { server, client } = await open(t, required)
    const question = 'What is the weather in Paris?'
    client.send('input_text.append', { text: question })
    client.send('input_text.commit')
    await client.next('conversation.item.done')
    client.send('response.create')
    const done = await client.next('response.done')
    assert.equal(done.response!.finish_reason, 'tool_calls')
    assert.equal(done.response!.status, 'completed')
    const [call, ...others] = done.response!.output!
    assert.deepEqual(others, [])
    assert.equal(call!.name, 'get_weather')
    const { city, unit } = JSON.parse(call!.arguments!)
    assert.ok(['Paris', 'Rome'].includes(city) && ['C', 'F'].includes(unit))

    const told = client.events.filter(({ response_id: id }) => id === done.response_id)
    const types = told.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1])
    assert.deepEqual(types, [
      'response.created',
      'response.output_item.added',
      'response.function_call_arguments.delta',
      'response.function_call_arguments.done',
      'response.output_item.done',
      'response.done',
    ])
    const deltas = told.filter(({ type }) => type === 'response.function_call_arguments.delta')
    assert.equal(deltas.map(({ delta }) => delta).join(''), call!.arguments)
    for (const event of told.slice(2, -2)) {
      assert.equal(event.item_id, call!.id)
      assert.equal(event.call_id, call!.call_id)
    }

    const result = 'It is 19 degrees and sunny in Paris.'
    client.send('conversation.item.create', {
      item: { type: 'function_call_output', call_id: call!.call_id, output: result },
    })
    client.send('response.create', { response: { tool_choice: 'none' } })
    client.skip()
    const { text, usage } = await client.reply()
    assert.ok(text.length > 0)
    const { type, ...described } = weather
    const posted = await server.post('/v1/chat/completions', {
      tools: [{ type, function: described }],
      tool_choice: 'none',
      max_tokens: 1,
      messages: [
        { role: 'user', content: question },
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: call!.call_id, type, function: { name: call!.name, arguments: call!.arguments } }],
        },
        { role: 'tool', tool_call_id: call!.call_id, content: result },
      ],
    })
    assert.equal(usage!.prompt_tokens, ((await posted.json()) as Chunk).usage!.prompt_tokens)
    await client.close()
    await assertFree(engine())
  },
)

test('a call begun in a pause is no text, and becomes the call', options, async (t) => {
  const { client } = await open(t, { ...required, speculate: 'reply', provisional: true })
  client.send('input_text.append', { text: 'What is the weather in Paris?' })
  await new Promise((resolve) => setTimeout(resolve, 1500))
  client.send('input_text.commit')
  client.send('response.create')
  const done = await client.next('response.done')
  assert.equal(done.response!.output![0]!.name, 'get_weather')
  assert.doesNotThrow(() => JSON.parse(done.response!.output![0]!.arguments!))
  assert.deepEqual(
    client.events.filter(({ provisional }) => provisional && provisional.text !== ''),
    [],
  )
  await client.close()
})

test('a call that a bound cuts off is not told as whole, and is no part of the conversation', options, async (t) => {
  const { client } = await open(t, required)
  for (const max_output_tokens of [8, 16]) {
    client.send('input_text.append', { text: 'What is the weather in Paris?' })
    client.send('input_text.commit')
    client.send('response.create', { response: { max_output_tokens } })
    const done = await client.next('response.done')
    assert.equal(done.response!.status, 'incomplete')
    assert.equal(done.response!.finish_reason, 'length')
    assert.ok(done.response!.output!.every(({ type }) => type !== 'function_call'))
  }
  const types = client.events.map(({ type }) => type)
  assert.ok(!types.includes('response.function_call_arguments.done'))
  assert.ok(
    client.events.every(({ type, item }) => type !== 'conversation.item.done' || item!.type !== 'function_call'),
  )
})
