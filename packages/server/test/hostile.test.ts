import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { chatStories, loaded, missing, settled, stories } from './models.ts'
import { awkward } from './schema-values.ts'
import { type Chunk, events, type Served, serve } from './serve.ts'

const tiny = loaded(stories, { contextLength: 128 })
const small = loaded(chatStories, { contextLength: 160 })

const names = [
  ...['model', 'max_tokens', 'max_completion_tokens', 'temperature', 'top_p', 'top_k', 'min_p', 'seed', 'n', 'stop'],
  ...['stream', 'stream_options', 'speculate', 'logit_bias', 'tools', 'response_format', 'logprobs', 'echo', 'user'],
]

/** A sound body with up to two of its parameters, and sometimes its input, replaced. */
function damaged(sound: object, inputName: string, input: fc.Arbitrary<unknown>): fc.Arbitrary<object> {
  const parameters = fc.uniqueArray(fc.tuple(fc.constantFrom(...names), awkward), {
    maxLength: 2,
    selector: ([n]) => n,
  })
  const replaced = fc.option(
    input.map((value) => [[inputName, value]] as const),
    { nil: [], freq: 1 },
  )
  return fc.tuple(parameters, replaced).map((parts) => ({ ...sound, ...Object.fromEntries(parts.flat()) }))
}

const message = fc.record(
  {
    role: fc.oneof({ weight: 9, arbitrary: fc.constantFrom('system', 'user', 'assistant', 'tool') }, awkward),
    content: fc.oneof(
      { weight: 9, arbitrary: fc.string({ maxLength: 20 }) },
      awkward,
      fc.array(fc.record({ type: fc.constantFrom('text', 'image_url'), text: awkward })),
    ),
    name: awkward,
  },
  { requiredKeys: ['role', 'content'] },
)
const completionBodies = damaged({ prompt: 'Once', max_tokens: 3 }, 'prompt', awkward)
const chatBodies = damaged(
  { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 2 },
  'messages',
  fc.oneof(fc.array(message, { maxLength: 3 }), awkward),
)

/** Sends a body and asserts that the answer is sound: a complete reply, or an error of the client in OpenAI's shape. */
async function assertAnswered(server: Served, path: string, body: string, signal?: AbortSignal): Promise<number> {
  const answer = await server.post(path, body, {
    headers: { 'content-type': 'application/json' },
    ...(signal ? { signal } : {}),
  })
  if (answer.headers.get('content-type')!.startsWith('text/event-stream')) {
    assert.equal(answer.status, 200)
    const all = await Array.fromAsync(events(answer))
    assert.equal(all.at(-1), '[DONE]', JSON.stringify(all.at(-1)))
    return 200
  }
  const json = (await answer.json()) as Chunk
  if (answer.status === 200) {
    assert.ok(json.choices.length > 0)
    assert.ok(json.choices.every(({ finish_reason }) => finish_reason === 'stop' || finish_reason === 'length'))
  } else {
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${JSON.stringify(json)}`)
    assert.equal(typeof json.error?.message, 'string')
    assert.equal(json.error?.type, 'invalid_request_error')
  }
  return answer.status
}

/** Runs a property and asserts that both outcomes were seen: a test of nothing but refusals would show little. */
async function check(server: Served, path: string, bodies: fc.Arbitrary<object>, numRuns: number): Promise<void> {
  const seen = new Map<number, number>()
  const property = fc.asyncProperty(bodies, async (body) => {
    const status = await assertAnswered(server, path, JSON.stringify(body))
    seen.set(status, (seen.get(status) ?? 0) + 1)
  })
  await fc.assert(property, { numRuns })
  assert.ok((seen.get(200) ?? 0) > numRuns / 20, `answers by status: ${[...seen]}`)
  assert.ok((seen.get(400) ?? 0) > numRuns / 20, `answers by status: ${[...seen]}`)
}

test('completions: any JSON gets an answer or an error of the client', { skip: missing(stories) }, async (t) => {
  await check(await serve(t, tiny()), '/v1/completions', completionBodies, 300)
  await settled(tiny(), 0)
})

test('chat: any JSON gets an answer or an error of the client', { skip: missing(chatStories) }, async (t) => {
  await check(await serve(t, small()), '/v1/chat/completions', chatBodies, 40)
  await settled(small(), 0)
})

test('chat: the shapes hold over many more bodies', async (t) => {
  await check(await serve(t, fakeEngine(says(delta('x'), done()))), '/v1/chat/completions', chatBodies, 600)
})

test('text that is almost JSON gets an error', async (t) => {
  const server = await serve(t, fakeEngine(says(delta('x'), done())))
  const sound = JSON.stringify({ messages: [{ role: 'user', content: 'Hi 🦜' }], temperature: 0.5, stop: ['a', 'b'] })
  const mutations = fc.tuple(fc.nat(sound.length), fc.nat(3), fc.string({ unit: 'binary', maxLength: 3 }))
  await fc.assert(
    fc.asyncProperty(mutations, async ([at, cut, put]) => {
      await assertAnswered(server, '/v1/chat/completions', sound.slice(0, at) + put + sound.slice(at + cut))
    }),
    { numRuns: 200 },
  )
})

test('clients that leave at any moment leave nothing behind', { skip: missing(stories) }, async (t) => {
  const server = await serve(t, tiny())
  const requests = fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.boolean()), { minLength: 1, maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(requests, async (clients) => {
      const body = { prompt: 'Once upon a time', max_tokens: 100, seed: 1 }
      const left = clients.map(([ms, stream]) =>
        assertAnswered(server, '/v1/completions', JSON.stringify({ ...body, stream }), AbortSignal.timeout(ms)).catch(
          (error: unknown) => assert.equal((error as Error).name, 'TimeoutError'),
        ),
      )
      await Promise.all(left)
      await settled(tiny())
    }),
    { numRuns: 15 },
  )
  await tiny().idle()
  assert.deepEqual(tiny().audit(), [])
})
