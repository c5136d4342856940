import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type ClientRequest, type OutgoingHttpHeaders, request } from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Engine } from '@incipit/engine'
import fc from 'fast-check'
import { delta, done, says } from './fake-engine.ts'
import { assertFree, chatStories, full, loaded, missing } from './models.ts'
import { fakeRealtimeEngine } from './realtime-fake.ts'
import { type Chunk, type Served, serve } from './serve.ts'

const timeout = 60_000
const engine = loaded(chatStories, { contextLength: 512 })
// Generous: on a machine that others keep busy a prompt may take many times its time.
const real = { skip: missing(chatStories), timeout: 120_000 }
const path = '/v1/chat/completions'

const ms = (pause: number) => () => sleep(pause)

/** Until the server has looked at what it got and the engine has computed it, however busy the machine is. */
async function digested(): Promise<void> {
  await sleep(80)
  await engine().idle()
}

interface Upload {
  pieces: (string | Buffer)[]
  /** What to wait for before each piece but the first. */
  pause?: () => Promise<unknown>
  /** Content-length instead of chunked encoding. */
  sized?: boolean
  headers?: OutgoingHttpHeaders
}

/** Starts a request without its body. */
function begin(server: Pick<Served, 'port'>, { pieces, sized, headers = {} }: Upload): ClientRequest {
  const length = Buffer.concat(pieces.map((piece) => Buffer.from(piece))).length
  return request({
    port: server.port,
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json', ...(sized ? { 'content-length': length } : {}), ...headers },
  })
}

/** Sends a body piece by piece and reads the answer. */
async function upload(server: Pick<Served, 'port'>, how: Upload): Promise<{ status: number; json: Chunk }> {
  const sent = begin(server, how)
  sent.setNoDelay(true)
  const answered = once(sent, 'response')
  for (const [i, piece] of how.pieces.entries()) {
    if (i > 0) await how.pause?.()
    sent.write(piece)
  }
  sent.end()
  const [response] = await answered
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode, json: JSON.parse(text) as Chunk }
}

function pieces(text: string, size: number): string[] {
  return Array.from({ length: Math.ceil(text.length / size) }, (_, i) => text.slice(i * size, (i + 1) * size))
}

const story = 'The old man sat by the river and watched the boats go by. '.repeat(6)
const question = 'Which animal says meow?'
const parameters = { temperature: 0, max_tokens: 10 }

const bodies: Record<string, object> = {
  'a long message of the user, role first': {
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: `${story}${question}` },
    ],
    ...parameters,
  },
  'a long message of the user, content first': {
    messages: [{ content: `${story}${question}`, role: 'user' }],
    ...parameters,
  },
  'a long system message': {
    ...parameters,
    messages: [
      { role: 'system', content: `${story}You answer questions about animals.` },
      { role: 'user', content: question },
    ],
  },
  'a long conversation': {
    ...parameters,
    messages: [
      ...Array.from({ length: 6 }, (_, i) => ({
        role: i % 2 === 0 ? 'user' : 'assistant',
        content: 'The boats went by, one after the other. '.repeat(3),
      })),
      { role: 'user', content: question },
    ],
  },
  'text in parts': {
    ...parameters,
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: story },
          { type: 'text', text: question },
        ],
      },
    ],
  },
}

for (const [name, body] of Object.entries(bodies)) {
  test(`a slow upload is answered as a fast one, from a warm prompt: ${name}`, real, async (t) => {
    // Its own namespace: what other tests have left is no use here.
    const server = await serve(t, engine(), { apiKey: name })
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${name}` }
    const text = JSON.stringify(body)
    const cold = JSON.stringify({ ...body, cache_prompt: false })
    const whole = (await (await server.post(path, cold, { headers })).json()) as Chunk
    await assertFree(engine() as Engine)
    // The last piece is what most clients' last packet is: the end of the text and everything behind it.
    const slow = await upload(server, { pieces: pieces(text, 200), pause: digested, sized: true, headers })
    assert.equal(slow.status, 200)
    assert.equal(slow.json.choices[0]!.message!.content, whole.choices[0]!.message!.content)
    assert.equal(slow.json.usage!.prompt_tokens, whole.usage!.prompt_tokens)
    const cached = (chunk: Chunk) => (chunk.usage!.prompt_tokens_details as { cached_tokens: number }).cached_tokens
    assert.equal(cached(whole), 0)
    assert.ok(cached(slow.json) > 40, `${cached(slow.json)} of ${slow.json.usage!.prompt_tokens} were warm`)
    await assertFree(engine() as Engine)
  })
}

test('a slow upload without a length is worked on too', real, async (t) => {
  const server = await serve(t, engine(), { apiKey: 'lengthless' })
  const text = JSON.stringify({ messages: [{ role: 'user', content: story }], ...parameters })
  const { json } = await upload(server, {
    pieces: pieces(text, 200),
    pause: digested,
    headers: { authorization: 'Bearer lengthless' },
  })
  assert.ok((json.usage!.prompt_tokens_details as { cached_tokens: number }).cached_tokens > 40)
  await assertFree(engine() as Engine)
})

test('an upload that ends badly leaves nothing behind', real, async (t) => {
  const server = await serve(t, engine(), { bodyLimit: 1500 })
  const text = JSON.stringify({ messages: [{ role: 'user', content: story }], user: 'ann' })
  const cases: [string, Partial<Upload>, number, string][] = [
    [text.replace('"user":"ann"', '"temperature":7'), {}, 400, 'invalid_request'],
    [text.replace(/}$/, ']'), {}, 400, 'invalid_json'],
    [text.slice(0, -1), {}, 400, 'invalid_json'],
    [text.slice(0, -20), {}, 400, 'invalid_json'],
    [text.replace('"user"', '"nobody"'), {}, 400, 'invalid_request'],
    [text.replace('"user"', '"function"'), {}, 400, 'unsupported'],
    [text.replace('ann', 'x'.repeat(2000)), {}, 413, 'body_too_large'],
    [text, { headers: { 'content-type': 'text/plain' } }, 415, 'unsupported_media_type'],
  ]
  for (const [body, how, status, code] of cases) {
    const answer = await upload(server, { pieces: pieces(body, 100), pause: ms(30), ...how })
    assert.deepEqual([answer.status, answer.json.error?.code], [status, code], body.slice(-40))
    // Exactly what the same body gets in one piece.
    assert.deepEqual(answer.json, (await upload(server, { pieces: [body], ...how })).json)
    await assertFree(engine() as Engine)
  }
})

test('a client that leaves in the middle of its upload leaves nothing behind', real, async (t) => {
  const server = await serve(t, engine())
  const parts = pieces(JSON.stringify({ messages: [{ role: 'user', content: story }] }), 150)
  const sent = begin(server, { pieces: parts, sized: true })
  sent.on('error', () => {})
  for (const piece of parts.slice(0, -1)) sent.write(piece)
  while (engine().stats().cellsUsed === 0) await sleep(5)
  sent.destroy()
  while (engine().stats().cellsUsed > 0) await sleep(5)
  await assertFree(engine() as Engine)
})

const hi = says(delta('Hello'), done())

test('a body in one piece, or one that comes fast, is not looked at early', { timeout }, async (t) => {
  const fake = fakeRealtimeEngine(hi)
  const server = await serve(t, fake)
  const text = JSON.stringify({ messages: [{ role: 'user', content: 'x'.repeat(300_000) }] })
  for (const sized of [true, false]) {
    await upload(server, { pieces: [JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }] })], sized })
    assert.equal((await upload(server, { pieces: [text], sized })).status, 200)
  }
  assert.equal(fake.inputs.length, 0)
  assert.equal(fake.requests.length, 4)
})

test('an engine without open inputs takes slow uploads as ever', { timeout }, async (t) => {
  const { open: _, ...fake } = fakeRealtimeEngine(hi)
  const server = await serve(t, fake)
  const text = JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }] })
  const { json } = await upload(server, { pieces: pieces(text, 20), pause: ms(30) })
  assert.equal(json.choices[0]!.message!.content, 'Hello')
})

test('the input is open until the reply has begun, and closed then', { timeout }, async (t) => {
  const go = Promise.withResolvers<void>()
  const fake = fakeRealtimeEngine(async function* () {
    assert.equal(fake.inputs.length, 1)
    assert.equal(fake.inputs[0]!.closed, false)
    yield delta('Hello')
    await go.promise
    yield done()
  })
  const server = await serve(t, fake)
  const text = JSON.stringify({ messages: [{ role: 'user', content: 'Hi there, how are you?' }] })
  const answer = upload(server, { pieces: pieces(text, 20), pause: ms(30) })
  while (fake.inputs[0]?.closed !== true) await sleep(2)
  assert.equal(fake.requests.length, 1)
  go.resolve()
  assert.equal((await answer).status, 200)
})

test('however a body is cut, its answer is the one it gets in one piece', { timeout }, async (t) => {
  const fake = fakeRealtimeEngine(async function* ({ messages }) {
    yield delta(JSON.stringify(messages))
    yield done()
  })
  const server = await serve(t, fake)
  const message = fc.record({
    role: fc.constantFrom('system', 'user', 'assistant', 'tool'),
    content: fc.string({ unit: 'binary', minLength: 8, maxLength: 30 }),
  })
  const damage = fc.option(fc.tuple(fc.nat(200), fc.string({ maxLength: 2 })), { nil: undefined, freq: 3 })
  const property = fc.asyncProperty(
    fc.array(message, { minLength: 1, maxLength: 3 }),
    damage,
    fc.integer({ min: 8, max: 40 }),
    async (messages, hurt, size) => {
      let text = JSON.stringify({ messages })
      if (hurt) text = text.slice(0, hurt[0]) + hurt[1] + text.slice(hurt[0] + 1)
      const bytes = Buffer.from(text)
      const cut = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      )
      const [slow, whole] = await Promise.all([
        upload(server, { pieces: cut, pause: ms(12) }),
        upload(server, { pieces: [bytes] }),
      ])
      assert.equal(slow.status, whole.status)
      assert.deepEqual(slow.json.error, whole.json.error)
      assert.deepEqual(slow.json.choices?.[0], whole.json.choices?.[0])
    },
  )
  await fc.assert(property, { numRuns: full ? 40 : 15 })
  // Nearly half of the bodies take long enough to be worked on before they end.
  assert.ok(fake.inputs.length > 3)
  assert.ok(fake.inputs.every(({ closed }) => closed))
})
