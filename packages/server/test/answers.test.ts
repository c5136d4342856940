import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { IncipitError } from '@incipit/engine/api'
import { delta, done, fakeEngine, guess, says } from './fake-engine.ts'
import { type Chunk, chunks, events, serve } from './serve.ts'

// Some tests wait for something that would never come if they failed.
const timeout = 10_000

const chat = { model: 'whatever', messages: [{ role: 'user', content: 'Hi' }] }
const timings = {
  queue_ms: 1,
  prompt_ms: 20,
  provisional_ms: 5,
  stable_ms: 6,
  committed_ms: 21.235,
  predicted_ms: 100,
  cache_n: 2,
  prompt_n: 8,
  predicted_n: 4,
  drafted_n: 4,
  accepted_n: 3,
  rejected_n: 1,
  retracted_n: 1,
  tolerated_n: 0,
  early_n: 0,
}
const usage = {
  prompt_tokens: 10,
  completion_tokens: 4,
  total_tokens: 14,
  prompt_tokens_details: { cached_tokens: 2 },
  completion_tokens_details: { accepted_prediction_tokens: 3, rejected_prediction_tokens: 1 },
}

/** Takes id and creation time out of an answer, after a look at them. */
function timeless(answer: Chunk, prefix: string): Omit<Chunk, 'id' | 'created'> {
  const { id, created, ...rest } = answer
  assert.match(id, new RegExp(`^${prefix}-[0-9a-f]{32}$`))
  assert.ok(Math.abs(Date.now() / 1000 - created) < 60, 'created is in seconds')
  return rest
}

test('a chat completion has the shape of OpenAI', async (t) => {
  const server = await serve(t, fakeEngine(says(delta('Hel'), delta('lo'), done())))
  const answer = await server.post('/v1/chat/completions', chat)
  assert.equal(answer.status, 200)
  assert.match(answer.headers.get('content-type')!, /^application\/json/)
  assert.deepEqual(timeless((await answer.json()) as Chunk, 'chatcmpl'), {
    object: 'chat.completion',
    model: 'fake-1b',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'Hello', refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage,
    timings,
  })
})

test('a streamed chat completion opens with the role and closes with the reason', async (t) => {
  const server = await serve(t, fakeEngine(says(delta('Hel'), delta('lo'), done('length'))))
  const answer = await server.post('/v1/chat/completions', { ...chat, stream: true })
  assert.equal(answer.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  assert.equal(answer.headers.get('cache-control'), 'no-cache')
  assert.equal(answer.headers.get('x-accel-buffering'), 'no')
  const all = await chunks(answer)
  assert.equal(new Set(all.map((chunk) => chunk.id)).size, 1)
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    object: 'chat.completion.chunk',
    model: 'fake-1b',
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
  })
  assert.deepEqual(
    all.map((one) => timeless(one, 'chatcmpl')),
    [
      chunk({ role: 'assistant', content: '', refusal: null }),
      chunk({ content: 'Hel' }),
      chunk({ content: 'lo' }),
      chunk({}, 'length'),
    ],
  )
})

test('a completion has the shape of OpenAI', async (t) => {
  const server = await serve(t, fakeEngine(says(delta('Hello'), done('context'))), { modelName: 'org/renamed' })
  const answer = await server.post('/v1/completions', { prompt: 'Hi' })
  assert.deepEqual(timeless((await answer.json()) as Chunk, 'cmpl'), {
    object: 'text_completion',
    model: 'org/renamed',
    choices: [{ text: 'Hello', index: 0, logprobs: null, finish_reason: 'length' }],
    usage,
    timings,
  })
})

test('a streamed completion with usage ends with a chunk of usage and timings', async (t) => {
  const server = await serve(t, fakeEngine(says(delta('Hello'), done())))
  const answer = await server.post('/v1/completions', {
    prompt: 'Hi',
    stream: true,
    stream_options: { include_usage: true },
  })
  const chunk = (text: string, finish_reason: string | null) => ({
    object: 'text_completion',
    model: 'fake-1b',
    choices: [{ text, index: 0, logprobs: null, finish_reason }],
    usage: null,
  })
  assert.deepEqual(
    (await chunks(answer)).map((one) => timeless(one, 'cmpl')),
    [
      chunk('Hello', null),
      chunk('', 'stop'),
      { object: 'text_completion', model: 'fake-1b', choices: [], usage, timings },
    ],
  )
})

test('provisional text is a chunk without choices', async (t) => {
  const retraction = { ...guess(2, 0, '', 0), reason: 'mismatch' as const }
  const engine = fakeEngine(says(guess(1, 0, 'Helo'), retraction, delta('Hello'), done()))
  const server = await serve(t, engine)
  const answer = await server.post('/v1/chat/completions', {
    ...chat,
    stream: true,
    stream_options: { include_provisional: true },
  })
  const [, shown, taken] = (await chunks(answer)).map((one) => timeless(one, 'chatcmpl'))
  assert.deepEqual(shown, {
    object: 'chat.completion.chunk',
    model: 'fake-1b',
    choices: [],
    provisional: { index: 0, rev: 1, base: 0, text: 'Helo', tokens: 1, stability: 0.95, source: 'skim' },
  })
  assert.deepEqual(taken?.provisional, {
    index: 0,
    rev: 2,
    base: 0,
    text: '',
    tokens: 0,
    stability: 0,
    source: 'skim',
    reason: 'mismatch',
  })
})

test('an answer says that it is lossy where somebody asked for that, and nowhere else', async (t) => {
  const account = done('stop', { timings: { ...done().timings, toleratedN: 2, earlyN: 3 } })
  const server = await serve(t, fakeEngine(says(delta('x'), account)))
  const shown = { stream: true, stream_options: { include_provisional: true, include_usage: true } }
  const wishes: [object, boolean][] = [
    [{ policy: 'confident' }, true],
    [{ policy: 'confident', stream: true, stream_options: { include_usage: true } }, true],
    [{ policy: 'confident', stream: true }, true],
    [{ policy: 'tolerant', ...shown }, true],
    [{ policy: 'committed' }, false],
    [{ policy: null, ...shown }, false],
    [{}, false],
  ]
  for (const [path, body] of [
    ['/v1/chat/completions', chat],
    ['/v1/completions', { prompt: 'Hi' }],
  ] as const) {
    for (const [wish, lossy] of wishes) {
      const answer = await server.post(path, { ...body, ...wish })
      assert.equal(answer.status, 200)
      const all = 'stream' in wish ? await chunks(answer) : [(await answer.json()) as Chunk]
      const marked = all.filter((chunk) => 'lossy' in chunk)
      // Where the reply ends, and where its account is: a client may read either.
      const ends = all.filter((chunk) => chunk.timings || chunk.choices[0]?.finish_reason)
      assert.deepEqual(marked, lossy ? ends : [], JSON.stringify(wish))
      assert.ok(marked.every((chunk) => chunk.lossy === true))
      const timings = all.at(-1)!.timings
      if (timings) assert.deepEqual([timings.tolerated_n, timings.early_n], [2, 3])
    }
  }
})

test('choices of one prompt count its tokens once, choices of two prompts twice', async (t) => {
  const server = await serve(t, fakeEngine(says(delta('x'), done())))
  const read = async (body: object) => (await (await server.post('/v1/completions', body)).json()) as Chunk
  const twoOfOne = await read({ prompt: 'a', n: 2 })
  assert.deepEqual(
    twoOfOne.choices.map((choice) => choice.index),
    [0, 1],
  )
  assert.equal(twoOfOne.usage?.prompt_tokens, 10)
  assert.equal(twoOfOne.usage?.completion_tokens, 8)
  const oneOfTwo = await read({ prompt: ['a', 'b'] })
  assert.equal(oneOfTwo.usage?.prompt_tokens, 20)
  assert.equal(oneOfTwo.usage?.total_tokens, 28)
})

test('timings of several choices tell the first moments and the summed work', async (t) => {
  const engine = fakeEngine(async function* (_request, index) {
    const event = done()
    const early = { committedMs: 7, provisionalMs: null, predictedMs: 300 }
    yield index === 0 ? event : { ...event, timings: { ...event.timings, ...early } }
  })
  const server = await serve(t, engine)
  const answer = (await (await server.post('/v1/chat/completions', { ...chat, n: 2 })).json()) as Chunk
  assert.equal(answer.timings?.committed_ms, 7)
  assert.equal(answer.timings?.provisional_ms, 5)
  assert.equal(answer.timings?.predicted_ms, 300)
  assert.equal(answer.timings?.predicted_n, 8)
})

test('where nothing is said for ten seconds a stream says that it waits', async (t) => {
  const computing = Promise.withResolvers<void>()
  const engine = fakeEngine(async function* () {
    await computing.promise
    yield* [delta('Hello'), done()]
  })
  const server = await serve(t, engine)
  t.mock.timers.enable({ apis: ['setInterval'] })
  const answer = await server.post('/v1/completions', { prompt: 'a', stream: true })
  t.mock.timers.tick(10_000)
  t.mock.timers.tick(10_000)
  computing.resolve()
  assert.match(await answer.text(), /^: waiting\n\n: waiting\n\ndata: .*Hello/)
})

test('headers and the role arrive before the first token', { timeout }, async (t) => {
  const token = Promise.withResolvers<void>()
  const engine = fakeEngine(async function* () {
    await token.promise
    yield delta('late')
    yield done()
  })
  const server = await serve(t, engine)
  const answer = await server.post('/v1/chat/completions', { ...chat, stream: true })
  const stream = events(answer)
  const first = (await stream.next()).value as Chunk
  assert.equal(first.choices[0]?.delta?.role, 'assistant')
  token.resolve()
  const second = (await stream.next()).value as Chunk
  assert.equal(second.choices[0]?.delta?.content, 'late')
  await stream.return(undefined)
})

for (const stream of [false, true]) {
  test(`an error found in the request is an HTTP error (stream: ${stream})`, async (t) => {
    const failure = () => new IncipitError('context_overflow', 'the prompt has 900 tokens', { param: 'messages' })
    const expected = {
      error: {
        message: 'the prompt has 900 tokens',
        type: 'invalid_request_error',
        param: 'messages',
        code: 'context_length_exceeded',
      },
    }
    const atCall = fakeEngine(() => {
      throw failure()
    })
    // biome-ignore lint/correctness/useYield: it fails before
    const atFirst = fakeEngine(async function* () {
      throw failure()
    })
    for (const engine of [atCall, atFirst]) {
      const server = await serve(t, engine)
      const answer = await server.post('/v1/chat/completions', { ...chat, stream })
      assert.equal(answer.status, 400)
      assert.deepEqual(await answer.json(), expected)
    }
  })
}

test('an error after the first byte is the last event, without [DONE]', async (t) => {
  const engine = fakeEngine(async function* () {
    yield delta('so far')
    await sleep(5)
    throw new IncipitError('decode_failed', 'llama_decode returned -3')
  })
  const server = await serve(t, engine)
  const all = await Array.fromAsync(events(await server.post('/v1/chat/completions', { ...chat, stream: true })))
  const [, text, error] = all as Chunk[]
  assert.equal(all.length, 3)
  assert.equal(text?.choices[0]?.delta?.content, 'so far')
  assert.deepEqual(error, {
    error: { message: 'llama_decode returned -3', type: 'server_error', param: null, code: 'decode_failed' },
  })
})

test('an unexpected error tells the log everything and the client nothing', async (t) => {
  const lines: string[] = []
  const engine = fakeEngine(() => {
    throw new TypeError('secret /home/me')
  })
  const server = await serve(t, engine, { log: (level, message) => lines.push(`${level} ${message}`) })
  const answer = await server.post('/v1/chat/completions', chat)
  assert.equal(answer.status, 500)
  const text = await answer.text()
  assert.ok(!text.includes('secret'), text)
  assert.equal((JSON.parse(text) as Chunk).error?.code, 'internal')
  assert.ok(lines.some((line) => line.startsWith('error ') && line.includes('secret /home/me')))
})

test('a reply that somebody else cancelled is an error, not a short reply', async (t) => {
  const server = await serve(t, fakeEngine(says(delta('half'), done('cancelled'))))
  const whole = await server.post('/v1/chat/completions', chat)
  assert.equal(whole.status, 499)
  const all = await Array.fromAsync(events(await server.post('/v1/chat/completions', { ...chat, stream: true })))
  assert.equal((all.at(-1) as Chunk).error?.code, 'cancelled')
})

test('when one choice fails the others are cancelled', { timeout }, async (t) => {
  const cancelled = Promise.withResolvers<void>()
  const engine = fakeEngine(async function* (request, index) {
    yield delta('x')
    if (index === 1) throw new IncipitError('decode_failed', 'no')
    await new Promise<void>((resolve) => request.signal?.addEventListener('abort', () => resolve()))
    cancelled.resolve()
    yield done('cancelled')
  })
  const server = await serve(t, engine)
  const answer = await server.post('/v1/chat/completions', { ...chat, n: 2 })
  assert.equal(((await answer.json()) as Chunk).error?.code, 'decode_failed')
  await cancelled.promise
})

test('when a later choice is refused, the failure of an earlier one goes nowhere', async (t) => {
  const failed = Promise.withResolvers<void>()
  const engine = fakeEngine((request, index) => {
    if (index === 1) throw new IncipitError('context_overflow', 'too long')
    return (async function* () {
      await new Promise<void>((resolve) => request.signal?.addEventListener('abort', () => resolve()))
      failed.resolve()
      throw new IncipitError('cancelled', 'as told')
    })()
  })
  const server = await serve(t, engine)
  const answer = await server.post('/v1/chat/completions', { ...chat, n: 2 })
  assert.equal(((await answer.json()) as Chunk).error?.code, 'context_length_exceeded')
  await failed.promise
  // An unhandled rejection would fail the test in the next turn.
  await sleep(5)
})
