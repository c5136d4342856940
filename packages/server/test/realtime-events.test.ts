import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { delta, done, says } from './fake-engine.ts'
import { assertFree, loaded, missing, stories } from './models.ts'
import { RealtimeClient, type ServerEvent } from './realtime-client.ts'
import { fakeRealtimeEngine } from './realtime-fake.ts'
import { serve } from './serve.ts'

const tiny = loaded(stories, { contextLength: 128 })
const timeout = 60_000

/** Reads events, errors too, up to the next of this type. */
async function until(client: RealtimeClient, from: number, type: string): Promise<ServerEvent[]> {
  for (;;) {
    const seen = client.events.slice(from)
    const end = seen.findIndex((event) => event.type === type)
    if (end >= 0) return seen.slice(0, end + 1)
    assert.equal(client.closed, undefined)
    await sleep(1)
  }
}

const hi = says(delta('Hello'), done())

test('what is malformed gets an error with the id of its event, and the socket goes on', { timeout }, async (t) => {
  const server = await serve(t, fakeRealtimeEngine(hi), { bodyLimit: 1000 })
  const client = await RealtimeClient.open(server)
  const cases: [string | object, code: string, param: string | null, eventId?: string][] = [
    ['', 'invalid_json', null],
    ['{"type":"input_text.append"', 'invalid_json', null],
    ['null', 'invalid_request', null],
    ['[]', 'invalid_request', null],
    ['"input_text.clear"', 'invalid_request', null],
    [{ event_id: 'e1' }, 'invalid_request', 'type', 'e1'],
    [{ type: 'constructor', event_id: 'e2' }, 'invalid_request', 'type', 'e2'],
    [{ type: 7 }, 'invalid_request', 'type'],
    [{ type: 'input_text.append', event_id: 'e3' }, 'invalid_request', 'text', 'e3'],
    [{ type: 'input_text.append', text: 7, event_id: 'e4' }, 'invalid_request', 'text', 'e4'],
    [{ type: 'input_text.append', text: 'a', event_id: 7 }, 'invalid_request', 'event_id'],
    [{ type: 'input_text.append', text: 'a', event_id: 'x'.repeat(513) }, 'invalid_request', 'event_id'],
    [{ type: 'input_text.replace', text: 'a', base: -1 }, 'invalid_request', 'base'],
    [{ type: 'input_text.replace', text: 'a', base: 0.5 }, 'invalid_request', 'base'],
    [{ type: 'input_text.append', text: 'x'.repeat(1001), event_id: 'e5' }, 'invalid_request', 'text', 'e5'],
    [{ type: 'session.update' }, 'invalid_request', 'session'],
    [{ type: 'session.update', session: { temperature: 3 } }, 'invalid_request', 'session.temperature'],
    [{ type: 'session.update', session: { speculate: 'maybe' } }, 'invalid_request', 'session.speculate'],
    [{ type: 'session.update', session: { pause_ms: -1 } }, 'invalid_request', 'session.pause_ms'],
    [
      { type: 'session.update', session: { instructions: 'x'.repeat(1001) } },
      'invalid_request',
      'session.instructions',
    ],
    [
      { type: 'session.update', session: { tools: [{}] }, event_id: 'e6' },
      'invalid_request',
      'session.tools[0].type',
      'e6',
    ],
    [{ type: 'session.update', session: { tools: [{ type: 'mcp' }] } }, 'unsupported', 'session.tools[0].type'],
    [{ type: 'session.update', session: { tool_choice: 'required' } }, 'invalid_request', 'session.tool_choice'],
    [{ type: 'session.update', session: { type: 'transcription' } }, 'unsupported', 'session.type'],
    [{ type: 'session.update', session: { audio: {} } }, 'unsupported', 'session.audio'],
    [{ type: 'session.update', session: { truncation: 'auto' } }, 'unsupported', 'session.truncation'],
    [
      { type: 'session.update', session: { guided_regex: 'a', guided_choice: ['b'] } },
      'invalid_request',
      'session.guided_choice',
    ],
    [{ type: 'session.update', session: { modalities: ['audio'] } }, 'unsupported', 'session.modalities'],
    [{ type: 'session.update', session: { logit_bias: { 999999: 2 } } }, 'invalid_request', 'session.logit_bias'],
    [{ type: 'session.update', session: { logit_bias: { 1: 200 } } }, 'invalid_request', 'session.logit_bias.1'],
    [{ type: 'session.update', session: { repetition_penalty: 0 } }, 'invalid_request', 'session.repetition_penalty'],
    [{ type: 'response.create', response: { conversation: 'none' } }, 'unsupported', 'response.conversation'],
    [{ type: 'response.create', response: { input: [] } }, 'unsupported', 'response.input'],
    [{ type: 'input_audio_buffer.append', audio: '' }, 'unsupported', 'type'],
    [{ type: 'conversation.item.truncate' }, 'unsupported', 'type'],
    [{ type: 'conversation.item.create' }, 'invalid_request', 'item'],
    [
      { type: 'conversation.item.create', item: { role: 'user', content: [{ type: 'input_audio', audio: '' }] } },
      'unsupported',
      'item.content[0].type',
    ],
    [{ type: 'conversation.item.create', item: { id: 'item_1' } }, 'unsupported', 'item.type'],
    [
      { type: 'conversation.item.create', item: { role: 'user', content: 'x' }, previous_item_id: 'no' },
      'invalid_request',
      'previous_item_id',
    ],
    [
      { type: 'conversation.item.create', item: { role: 'user', content: 'x'.repeat(1001) } },
      'invalid_request',
      'item',
    ],
    [{ type: 'conversation.item.delete', item_id: 'no' }, 'invalid_request', 'item_id'],
    [{ type: 'conversation.item.retrieve', item_id: 'no' }, 'invalid_request', 'item_id'],
    [{ type: 'conversation.replace' }, 'invalid_request', 'messages'],
    [{ type: 'conversation.replace', messages: [{ role: 'user' }] }, 'invalid_request', 'messages[0].content'],
    [
      { type: 'conversation.replace', messages: [{ role: 'user', content: 'x'.repeat(1001) }] },
      'invalid_request',
      'messages',
    ],
    [{ type: 'response.create', event_id: 'e7' }, 'invalid_request', 'type', 'e7'],
    [{ type: 'response.cancel', event_id: 'e8' }, 'invalid_request', 'response_id', 'e8'],
  ]
  for (const [frame, code, param, eventId] of cases) {
    const from = client.events.length
    client.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
    const [event] = await until(client, from, 'error')
    const { message, ...error } = event!.error!
    assert.deepEqual(
      error,
      { type: 'invalid_request_error', code, param, event_id: eventId ?? null },
      JSON.stringify(frame).slice(0, 100),
    )
    assert.notEqual(message, '')
  }
  client.skip()
  assert.equal((await client.ask('Hi')).text, 'Hello')
  await client.close()
})

test('biases and penalties are what they are over HTTP, and null takes them away', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(says(delta('x'), done()))
  const client = await RealtimeClient.open(await serve(t, engine))
  const shaped = () => {
    const { options } = engine.inputs[0]!
    const { logitBias, frequencyPenalty, presencePenalty, repetitionPenalty, penaltyWindow, minTokens, ignoreEnd } =
      options
    return [logitBias, frequencyPenalty, presencePenalty, repetitionPenalty, penaltyWindow, minTokens, ignoreEnd]
  }
  const nothing = [{}, 0, 0, 1, null, 0, false]
  assert.deepEqual(shaped(), nothing)
  const settings = {
    logit_bias: [['five', 2]],
    frequency_penalty: 0.5,
    presence_penalty: -1,
    repeat_penalty: 1.2,
    repeat_last_n: 10,
    min_tokens: 3,
    ignore_eos: true,
  }
  const { session } = await client.configure(settings)
  assert.deepEqual([session!.logit_bias, session!.repetition_penalty], [[['five', 2]], 1.2])
  assert.deepEqual(shaped(), [[['five', 2]], 0.5, -1, 1.2, 10, 3, true])
  // Penalties that look at nothing are none.
  await client.configure({ repeat_last_n: 0 })
  assert.deepEqual(shaped(), [[['five', 2]], 0, 0, 1, null, 3, true])
  await client.configure(Object.fromEntries(Object.keys(settings).map((name) => [name, null])))
  assert.deepEqual(shaped(), nothing)
  client.send('input_text.append', { text: 'Hi' })
  client.send('input_text.commit')
  client.send('response.create', { response: { logit_bias: { 7: -100 } } })
  await client.reply()
  assert.deepEqual(engine.requests.at(-1)!.logitBias, { 7: -100 })
  await client.close()
})

test('binary frames are refused by name', { timeout }, async (t) => {
  const server = await serve(t, fakeRealtimeEngine(hi))
  const client = await RealtimeClient.open(server)
  client.socket.send(Buffer.from(JSON.stringify({ type: 'input_text.clear' })), { binary: true })
  const [event] = await until(client, 1, 'error')
  assert.equal(event!.error!.code, 'unsupported')
  assert.match(event!.error!.message, /binary/)
  client.skip()
  assert.equal((await client.ask('Hi')).text, 'Hello')
  await client.close()
})

test('one response at a time; typing goes on, but its place in the conversation is fixed', { timeout }, async (t) => {
  const go = Promise.withResolvers<void>()
  const engine = fakeRealtimeEngine(async function* () {
    yield delta('Hel')
    await go.promise
    yield delta('lo')
    yield done()
  })
  const client = await RealtimeClient.open(await serve(t, engine))
  client.send('input_text.append', { text: 'Hi' })
  client.send('input_text.commit')
  client.send('response.create')
  await client.next('response.output_text.delta')
  const from = client.events.length
  client.send('response.create', { event_id: 'second' })
  const [busy] = await until(client, from, 'error')
  assert.equal(busy!.error!.event_id, 'second')
  client.send('input_text.append', { text: 'and' })
  client.send('input_text.commit')
  client.send('session.update', { session: { instructions: 'Be brief.' }, event_id: 'early' })
  const events = await until(client, from + 1, 'error')
  assert.equal(events.at(-1)!.error!.event_id, 'early')
  client.send('response.cancel', { response_id: 'resp_other', event_id: 'wrong' })
  assert.equal((await until(client, from + 1 + events.length, 'error')).at(-1)!.error!.event_id, 'wrong')
  go.resolve()
  const ended = await until(client, from, 'response.done')
  assert.equal(ended.find(({ type }) => type === 'response.output_text.done')!.text, 'Hello')
  assert.equal(engine.requests.length, 1)
  await client.close()
})

test('the conversation can be replaced between two responses, behind its instructions', { timeout }, async (t) => {
  const go = Promise.withResolvers<void>()
  const engine = fakeRealtimeEngine(async function* (_, index) {
    if (index === 1) await go.promise
    yield delta('Hello')
    yield done()
  })
  const client = await RealtimeClient.open(await serve(t, engine))
  await client.configure({ instructions: 'Be brief.' })
  await client.ask('Forget this.')
  const turns = [
    { role: 'user', content: 'One?' },
    { role: 'assistant', content: 'Two.' },
  ]
  client.send('conversation.replace', { messages: turns })
  client.send('input_text.append', { text: 'Three?' })
  client.send('input_text.commit')
  client.send('response.create')
  await client.next('response.created')
  const from = client.events.length
  client.send('conversation.replace', { messages: [], event_id: 'early' })
  assert.equal((await until(client, from, 'error')).at(-1)!.error!.event_id, 'early')
  go.resolve()
  await until(client, from, 'response.done')
  const instructions = { role: 'system', content: 'Be brief.' }
  assert.deepEqual(engine.requests[1]!.messages, [instructions, ...turns, { role: 'user', content: 'Three?' }])
  client.skip()
  client.send('conversation.replace', { messages: [] })
  await client.ask('Anew?')
  assert.deepEqual(engine.requests[2]!.messages, [instructions, { role: 'user', content: 'Anew?' }])
  await client.close()
})

test('items stand where they were put, and the reply behind those that were there when it was asked for', {
  timeout,
}, async (t) => {
  const go = Promise.withResolvers<void>()
  const engine = fakeRealtimeEngine(async function* (_, index) {
    if (index === 0) await go.promise
    yield delta('Hello')
    yield done()
  })
  const client = await RealtimeClient.open(await serve(t, engine))
  const add = async (item: object, previous?: string) => {
    client.send('conversation.item.create', { item, ...(previous && { previous_item_id: previous }) })
    const added = await client.next('conversation.item.added')
    assert.deepEqual((await client.next('conversation.item.done')).item, added.item)
    return added
  }
  const one = await add({ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'One' }] })
  assert.deepEqual(one.item!.content, [{ type: 'input_text', text: 'One' }])
  assert.equal(one.previous_item_id, null)
  const system = { id: 'mine', type: 'message', role: 'system', content: [{ type: 'input_text', text: 'Brief.' }] }
  assert.equal((await add(system, 'root')).item!.id, 'mine')
  const three = await add({ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Three' }] })
  const two = { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Two' }] }
  assert.equal((await add(two, one.item!.id)).previous_item_id, one.item!.id)
  const turns = [
    { role: 'system', content: 'Brief.' },
    { role: 'user', content: 'One' },
    { role: 'assistant', content: 'Two' },
    { role: 'user', content: 'Three' },
  ]
  // Known before anybody asks: it is computed ahead.
  assert.deepEqual(engine.inputs[0]!.options.messages, turns)
  client.send('conversation.item.create', { item: system, event_id: 'twice' })
  assert.equal((await until(client, 0, 'error')).at(-1)!.error!.param, 'item.id')
  client.skip()

  client.send('response.create')
  await client.next('response.created')
  const late = await add({ role: 'user', content: 'Late' })
  const from = client.events.length
  client.send('conversation.item.create', { item: { role: 'user', content: 'Early' }, previous_item_id: 'root' })
  client.send('conversation.item.delete', { item_id: three.item!.id })
  await until(client, from, 'error')
  while (client.events.slice(from).filter(({ type }) => type === 'error').length < 2) await sleep(1)
  client.skip()
  go.resolve()
  const reply = (await client.next('conversation.item.added')).item!
  assert.deepEqual(reply.content, [{ type: 'output_text', text: 'Hello' }])
  await client.next('response.done')
  assert.deepEqual(engine.requests[0]!.messages, turns)
  client.send('conversation.item.retrieve', { item_id: reply.id })
  assert.deepEqual((await client.next('conversation.item.retrieved')).item, reply)
  client.send('conversation.item.delete', { item_id: three.item!.id })
  assert.equal((await client.next('conversation.item.deleted')).item_id, three.item!.id)
  client.send('response.create')
  await client.next('response.done')
  const [brief, first, second] = turns
  const rest = [
    { role: 'assistant', content: 'Hello' },
    { role: 'user', content: 'Late' },
  ]
  // Two messages of the assistant stay two.
  assert.deepEqual(engine.requests[1]!.messages, [brief, first, second, ...rest])
  assert.equal(late.previous_item_id, three.item!.id)
  await client.close()
})

test('instructions of a response stand in for those of the session, once', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(hi)
  const client = await RealtimeClient.open(await serve(t, engine))
  await client.configure({ instructions: 'Be brief.' })
  client.send('input_text.append', { text: 'Hi' })
  client.send('input_text.commit')
  client.send('response.create', { response: { instructions: 'Be kind.', metadata: { topic: 'a' } } })
  assert.deepEqual((await client.next('response.done')).response!.metadata, { topic: 'a' })
  client.send('response.create')
  await client.next('response.done')
  const systems = engine.requests.map(({ messages }) => messages![0]!.content)
  assert.deepEqual(systems, ['Be kind.', 'Be brief.'])
  await client.close()
})

test('a response that fails ends, its error names the event, and the conversation goes on', { timeout }, async (t) => {
  const log: string[] = []
  const engine = fakeRealtimeEngine(async function* (_, index) {
    yield delta('Hel')
    if (index === 0) throw new Error('a secret path')
    yield delta('lo')
    yield done()
  })
  const server = await serve(t, engine, { log: (level) => log.push(level) })
  const client = await RealtimeClient.open(server)
  client.send('input_text.append', { text: 'Hi' })
  client.send('input_text.commit')
  client.send('response.create', { event_id: 'mine' })
  const events = await until(client, 0, 'response.done')
  const { error } = events.find(({ type }) => type === 'error')!
  assert.equal(error!.code, 'internal')
  assert.equal(error!.event_id, 'mine')
  assert.doesNotMatch(JSON.stringify(events), /secret/)
  const last = events.at(-1)!
  assert.equal(last.response!.status, 'failed')
  assert.equal(last.usage, null)
  assert.deepEqual(log, ['error'])
  const from = client.events.length
  client.send('response.create')
  const next = await until(client, from, 'response.done')
  assert.equal(next.find(({ type }) => type === 'response.output_text.done')!.text, 'Hello')
  await client.close()
})

test('the key of the server is the namespace for reuse, and never the key itself', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(hi)
  const server = await serve(t, engine, { apiKey: 'sesame' })
  const headers = { authorization: 'Bearer sesame' }
  const client = await RealtimeClient.open(server, { headers })
  await client.close()
  const body = JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }] })
  await server.post('/v1/chat/completions', body, { headers: { ...headers, 'content-type': 'application/json' } })
  const salts = [engine.inputs[0]!.options.cacheSalt, engine.requests[0]!.cacheSalt]
  assert.equal(salts[0], salts[1])
  assert.match(salts[0]!, /^[\w-]{43}$/)
})

const awkward = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom<unknown>(null, -1, 0, 1, 2 ** 53, 1e308, '', '\u0000', '\ud800', '🦜', [], {}, 'Once upon a time'),
)
const types = [
  ...['session.update', 'input_text.append', 'input_text.replace', 'input_text.clear', 'input_text.commit'],
  ...['response.create', 'response.cancel', 'session.created', '__proto__'],
  ...['conversation.item.create', 'conversation.item.delete', 'conversation.replace'],
]
const settings = fc.dictionary(
  fc.constantFrom('temperature', 'top_k', 'seed', 'stop', 'max_output_tokens', 'speculate', 'provisional', 'raw', 'n'),
  fc.oneof(awkward, fc.constantFrom<unknown>('reply', 'off', true, 0.5)),
  { maxKeys: 2 },
)
const soundEvent = fc.oneof(
  fc.record({ type: fc.constant('input_text.append'), text: fc.string({ unit: 'binary', maxLength: 20 }) }),
  fc.record({ type: fc.constant('input_text.replace'), base: fc.nat(20), text: fc.string({ maxLength: 10 }) }),
  fc
    .constantFrom('input_text.commit', 'response.create', 'response.create', 'response.cancel')
    .map((type) => ({ type })),
  fc.record({ type: fc.constant('session.update'), session: settings }),
)
const event = fc.oneof(
  { weight: 6, arbitrary: soundEvent },
  { weight: 2, arbitrary: fc.dictionary(fc.constantFrom('type', 'text', 'base', 'session', 'response'), awkward) },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constantFrom(...types), text: awkward, base: awkward, session: awkward }),
  },
  { weight: 1, arbitrary: awkward },
)

test('whatever a client sends, the socket lives and nothing is left behind', {
  skip: missing(stories),
  timeout,
}, async (t) => {
  const defects: string[] = []
  const server = await serve(t, tiny(), { log: (level, message) => level === 'error' && defects.push(message) })
  let answered = 0
  let refused = 0
  const property = fc.asyncProperty(fc.array(event, { maxLength: 25 }), async (events) => {
    const client = await RealtimeClient.open(server)
    client.send('session.update', { session: { max_output_tokens: 8, speculate: 'reply', provisional: true } })
    client.send('input_text.append', { text: 'Once upon' })
    for (const value of events) client.socket.send(JSON.stringify(value) ?? '')
    // The last word is understood, and so was everything before it.
    client.send('session.update', { event_id: 'last', session: { top_p: 0.123 } })
    for (;;) {
      const last = client.events.findLast(({ type }) => type === 'session.updated')
      if (last?.session?.top_p === 0.123) break
      assert.equal(client.closed, undefined)
      await sleep(1)
    }
    answered += client.events.filter(({ type }) => type === 'response.created').length
    refused += client.events.filter(({ type }) => type === 'error').length
    await client.close()
  })
  await fc.assert(property, { numRuns: 150 })
  // A test of nothing but refusals would show little.
  assert.ok(answered > 15 && refused > 50, `${answered} answered, ${refused} refused`)
  assert.deepEqual(defects, [])
  await assertFree(tiny())
})
