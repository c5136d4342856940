import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { full, loaded, missing, stories } from './models.ts'
import { Reader } from './reader.ts'
import { type Chunk, chunks, committed, type Served, serve } from './serve.ts'

const skip = missing(stories)
const engine = loaded(stories, { contextLength: 512 })

const sentences = [
  'Once upon a time there was a little girl named Lily.',
  'Tom and Ben went to the park to play with a big red ball.',
  'The dog was sad because it did not have a friend.',
  'Mom said, "Be careful, the water is cold!"',
]
/** Prompts of 200 to 400 tokens, long enough for a look ahead. */
const prompts = fc
  .array(fc.constantFrom(...sentences), { minLength: 14, maxLength: 18 })
  .map((parts) => parts.join(' '))

async function whole(server: Served, body: object): Promise<Chunk> {
  const answer = await server.post('/v1/completions', body)
  assert.equal(answer.status, 200)
  return (await answer.json()) as Chunk
}

async function stream(server: Served, body: object, stream_options: object): Promise<Chunk[]> {
  const answer = await server.post('/v1/completions', { ...body, stream: true, stream_options })
  assert.equal(answer.status, 200)
  return chunks(answer)
}

test('a reader of provisional text ends with exactly the committed text', { skip }, async (t) => {
  const server = await serve(t, engine())
  let shown = 0
  let withdrawn = 0
  const sampling = fc.record({
    temperature: fc.constantFrom(0, 0.7, 1.2),
    seed: fc.integer({ min: 0, max: 1000 }),
    max_tokens: fc.integer({ min: 1, max: 40 }),
    stop: fc.constantFrom([], ['.'], ['the', ' was a']),
  })
  const property = fc.asyncProperty(prompts, sampling, async (prompt, parameters) => {
    const body = { prompt, ...parameters, cache_prompt: false }
    const expected = (await whole(server, body)).choices[0]!
    const all = await stream(server, body, { include_provisional: true, min_stability: 0, include_usage: true })
    const reader = new Reader()
    for (const chunk of all) reader.read(chunk)
    assert.equal(reader.committed, expected.text)
    const { timings } = all.pop()!
    assert.equal(reader.withdrawn, timings!.retracted_n, 'the engine counts what a client sees')
    assert.equal(committed(all), expected.text, 'a client that knows nothing of provisional text reads the same')
    assert.equal(reader.tail, '', 'nothing uncertain is left')
    assert.equal(all.at(-1)!.choices[0]!.finish_reason, expected.finish_reason)
    shown += all.filter((chunk) => chunk.provisional?.text).length
    withdrawn += reader.withdrawn
  })
  // Always the same cases: where two tokens are almost equally probable, the width of a batch can decide.
  const numRuns = full ? 12 : 8
  await fc.assert(property, { numRuns, seed: 7 })
  assert.ok(shown > numRuns, 'guesses were shown')
  assert.ok(withdrawn > 0, 'some were wrong')
})

test('min_stability bounds what is shown', { skip }, async (t) => {
  const server = await serve(t, engine())
  const body = { prompt: sentences.join(' ').repeat(4), temperature: 0, max_tokens: 12, cache_prompt: false }
  // In a namespace of its own each time: nothing is learnt from the request before.
  let namespaces = 0
  const stabilities = async (options: object) =>
    (await stream(server, { ...body, cache_salt: `${namespaces++}` }, options))
      .filter((chunk) => chunk.provisional?.text)
      .map((chunk) => chunk.provisional!.stability)
  const every = await stabilities({ include_provisional: true, min_stability: 0 })
  assert.ok(every.length > 0)
  const most = Math.max(...every)
  const some = await stabilities({ include_provisional: true, min_stability: most })
  assert.ok(some.length > 0)
  assert.ok(some.every((stability) => stability >= most))
  const usual = await stabilities({ include_provisional: true })
  // A first word from 0.7 on, wherever its bound has moved, and what follows it from 0.9 on.
  assert.ok(usual.every((stability) => stability >= 0.7 * 0.9))
  assert.deepEqual(await stabilities({ min_stability: 0 }), [], 'only who asks sees it')
})

test('speculate: false drafts nothing and says the same', { skip }, async (t) => {
  const server = await serve(t, engine())
  const body = { prompt: sentences.join(' ').repeat(4), temperature: 0, max_tokens: 12, cache_prompt: false }
  const options = { include_usage: true, include_provisional: true, min_stability: 0 }
  const [usual, plain] = [
    await stream(server, body, options),
    await stream(server, { ...body, speculate: false }, options),
  ]
  assert.equal(committed(plain), committed(usual))
  assert.ok(usual.at(-1)!.timings!.drafted_n! > 0)
  assert.equal(plain.at(-1)!.timings!.drafted_n, 0)
  assert.ok(usual.some((chunk) => chunk.provisional))
  assert.ok(!plain.some((chunk) => chunk.provisional))
})

test('usage and timings agree with each other and with the text', { skip }, async (t) => {
  const server = await serve(t, engine())
  const prompt = sentences.join(' ').repeat(4)
  const all = await stream(
    server,
    { prompt, temperature: 0, max_tokens: 20, cache_prompt: false },
    { include_usage: true, include_provisional: true, min_stability: 0 },
  )
  const last = all.at(-1)!
  assert.deepEqual(last.choices, [])
  const usage = last.usage as { prompt_tokens: number; completion_tokens: number; total_tokens: number }
  const timings = last.timings!
  assert.equal(usage.completion_tokens, 20)
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
  assert.equal(timings.predicted_n, usage.completion_tokens)
  assert.equal(timings.prompt_n! + timings.cache_n!, usage.prompt_tokens)
  assert.ok(timings.queue_ms! >= 0)
  assert.ok(timings.provisional_ms! > 0)
  assert.ok(timings.provisional_ms! <= timings.committed_ms!)
  assert.ok(timings.stable_ms! <= timings.committed_ms!)
  assert.ok(timings.prompt_ms! <= timings.committed_ms!)
  assert.ok(timings.accepted_n! <= timings.drafted_n!)
  assert.ok(all.slice(0, -1).every((chunk) => chunk.usage === null && chunk.timings === undefined))
})

test('choices of a stream are interleaved and each is whole', { skip }, async (t) => {
  const server = await serve(t, engine())
  const body = {
    prompt: [sentences[0]!, sentences[1]!],
    n: 2,
    temperature: 1,
    seed: 3,
    max_tokens: 12,
    cache_prompt: false,
  }
  const expected = await whole(server, body)
  const all = await stream(server, body, { include_provisional: true, min_stability: 0 })
  for (const [index, choice] of expected.choices.entries()) {
    const reader = new Reader(index)
    for (const chunk of all) reader.read(chunk)
    assert.equal(reader.committed, choice.text)
    const finished = all.flatMap((chunk) => chunk.choices).filter((one) => one.index === index && one.finish_reason)
    assert.equal(finished.length, 1)
  }
})

test('a model without a chat template completes, but does not chat', { skip }, async (t) => {
  const server = await serve(t, engine())
  for (const stream of [true, false]) {
    const answer = await server.post('/v1/chat/completions', { messages: [{ role: 'user', content: 'Hi' }], stream })
    assert.equal(answer.status, 400)
    assert.equal(((await answer.json()) as Chunk).error?.code, 'chat_template')
  }
})
