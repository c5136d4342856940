import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { EngineApi } from '../src/api/index.ts'
import { type DoneEvent, Engine, type EngineOptions, type GenerateRequest, type PromptToken } from '../src/index.ts'
import { Model } from '../src/llama/model.ts'
import { Plain } from '../src/tune/plain.ts'
import { freeRows } from './costs.ts'
import { writeAltered } from './fixtures/altered.ts'
import { marginNoise, noiseAllowed } from './fixtures/batch-noise.ts'
import { model } from './fixtures/gguf.ts'
import { type Logprobs, plainLogprobs } from './fixtures/plain-logprobs.ts'
import { spawned } from './fixtures/spawned.ts'
import { full } from './fixtures/test-size.ts'

// Log-probabilities of a prompt's tokens are those of plain decoding, however the model runs and whoever else is served.

const stories = model('stories260K.gguf')
const smol = model('SmolLM2-135M-Instruct.Q4_1.gguf')
const count = 3
const sentence = 'Once upon a time there was a little girl who had a red ball and a big brown dog. '
const prompts = ['Once', `${sentence}She`, sentence.repeat(4), sentence.repeat(9)]

let cacheDir: string
/** Rows of a prompt that one step takes. */
let promptRows = 512
before(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'incipit-prompt-logprobs-'))
  freeRows(() => promptRows)
})
after(() => rm(cacheDir, { recursive: true, force: true }))

interface Scored {
  readonly tokens: readonly PromptToken[]
  readonly events: number
  readonly done: DoneEvent
}

async function score(engine: EngineApi, request: GenerateRequest, each = (_events: number) => {}): Promise<Scored> {
  const tokens: PromptToken[] = []
  let events = 0
  let saidBefore = false
  for await (const event of engine.generate({ promptLogprobs: count, ...request })) {
    if (event.type === 'delta') saidBefore = true
    if (event.type === 'prompt') {
      assert.ok(!saidBefore, 'a prompt is told of before its reply')
      assert.equal(event.from, tokens.length)
      tokens.push(...event.tokens)
      each(++events)
    }
    if (event.type === 'done') return { tokens, events, done: event }
  }
  return assert.fail('no done event')
}

interface Expected {
  readonly ids: readonly number[]
  /** By the number of rows that run together. */
  readonly ways: readonly (readonly Logprobs[])[]
}

/** What plain decoding says of these prompts, and how far batches of other shapes move it. */
async function expected(
  path: string,
  prompts: readonly string[],
  shapes = [1, 16, 64, 512],
): Promise<{ all: Expected[]; noise: number }> {
  using weights = await Model.load(path)
  using plain = new Plain(weights, { cells: 512, threads: 1, outputs: 512 })
  const { vocab } = weights
  const all: Expected[] = []
  const texts = prompts.map((prompt) => vocab.tokenize(prompt, { addBos: vocab.addsBos }))
  // Also of all texts in one cache, where attention walks over the cells of others.
  let noise = texts.length > 1 ? await marginNoise(weights, texts) : 0
  for (const ids of texts) {
    const ways: (readonly Logprobs[])[] = []
    for (const rows of shapes) ways.push(await plainLogprobs(plain, ids, 1, rows))
    for (const [i, token] of ids.slice(1).entries()) {
      const found = ways.map((logprobs) => logprobs[i]!(token))
      noise = Math.max(noise, Math.max(...found) - Math.min(...found))
    }
    all.push({ ids, ways })
  }
  return { all, noise }
}

/** The largest difference to plain decoding, of the nearest of its ways. */
function difference({ tokens }: Scored, { ids, ways }: Expected): number {
  assert.deepEqual(
    tokens.map(({ token }) => token),
    ids,
  )
  assert.deepEqual([tokens[0]!.logprob, tokens[0]!.top], [null, []])
  let widest = 0
  for (const [i, { token, logprob, top }] of tokens.slice(1).entries()) {
    assert.equal(top.length, count)
    for (const one of [{ token, logprob: logprob! }, ...top]) {
      const apart = ways.map((logprobs) => Math.abs(one.logprob - logprobs[i]!(one.token)))
      widest = Math.max(widest, Math.min(...apart))
    }
  }
  return widest
}

let ofStories: ReturnType<typeof expected> | undefined
const layouts: [string, EngineOptions][] = [
  ['in one cache', { cut: 'none', cache: 'unified' }],
  ['with a cache for each sequence', { cut: 'none', cache: 'separate' }],
  ['in two stages', { cut: [2] }],
  ['in three stages on two devices', { cut: [1, 3], threads: [1, 1] }],
]

for (const [name, options] of layouts) {
  test(`prompts are scored as plain decoding does, ${name}, beside replies that speculate`, {
    skip: stories.skip,
  }, async (t) => {
    ofStories ??= expected(stories.path, prompts)
    const { all, noise } = await ofStories
    await using engine = await Engine.load(stories.path, { cacheDir, threads: 1, draft: stories.path, ...options })
    for (promptRows of [512, 20]) {
      const others = prompts.map(async (prompt, i) => {
        for await (const _ of engine.generate({ prompt, maxTokens: 30, temperature: 0.8, seed: i }));
      })
      const scored = await Promise.all(
        prompts.map((prompt, i) => score(engine, { prompt, maxTokens: i % 2 === 0 ? 0 : 12 })),
      )
      await Promise.all(others)
      const widest = Math.max(...scored.map((one, i) => difference(one, all[i]!)))
      t.diagnostic(`plain against plain ${noise}, engine against plain ${widest}`)
      assert.ok(widest <= noiseAllowed * noise, `${widest}, where plain decoding itself moves by ${noise}`)
      for (const [i, { done, events, tokens }] of scored.entries()) {
        const { completionTokens, promptTokens, cachedTokens } = done.usage
        assert.equal(completionTokens, i % 2 === 0 ? 0 : 12)
        assert.deepEqual([promptTokens, cachedTokens, done.finishReason], [tokens.length, 0, 'length'])
        // A piece has a tile of rows at least.
        if (promptRows === 20) assert.ok(events >= Math.floor(tokens.length / 80), `${events} events`)
      }
    }
    await engine.idle()
    assert.deepEqual(engine.audit(), [])
  })
}

test('a prompt that was computed before is computed again, and serves others afterwards', {
  skip: stories.skip,
}, async () => {
  promptRows = 512
  const prompt = prompts[2]!
  const { all, noise } = await expected(stories.path, [prompt])
  await using engine = await Engine.load(stories.path, { cacheDir, threads: 1 })
  await engine.prefill({ prompt })
  const scored = await score(engine, { prompt, maxTokens: 0 })
  assert.equal(scored.done.usage.cachedTokens, 0)
  assert.ok(difference(scored, all[0]!) <= noiseAllowed * noise)
  const salted = { prompt: `${prompt}Then`, cacheSalt: 'scored' }
  await score(engine, { ...salted, prompt, maxTokens: 0 })
  assert.ok((await engine.prefill(salted)).cachedTokens > scored.tokens.length / 2)
})

test('control tokens of a prompt are told by their names', { skip: smol.skip }, async () => {
  await using engine = await Engine.load(smol.path, { cacheDir, threads: 1, contextLength: 256, cut: 'none' })
  const messages = [{ role: 'user', content: 'Say é 🙂.' }]
  const { tokens } = await score(engine, { messages, maxTokens: 0, promptLogprobs: 0 })
  const bytes = Buffer.concat(tokens.map(({ bytes }) => Uint8Array.from(bytes)))
  assert.equal(bytes.toString(), engine.renderChat(messages))
  const ids = tokens.map(({ token }) => token)
  assert.deepEqual(Buffer.concat(engine.tokenBytes(ids, { special: true })), bytes)
  assert.equal(engine.detokenize(ids, { special: true }), bytes.toString())
  assert.ok(engine.tokenBytes(ids).length === ids.length && engine.detokenize(ids).length < bytes.length)
  assert.deepEqual(tokens[3]!.top, [])
})

test('in a process of its own a prompt is scored further where a killed engine stood', {
  skip: smol.skip,
  timeout: 120_000,
}, async (t) => {
  const prompt = sentence.repeat(10)
  // Long enough in its work to be killed there; a short run takes its first layers.
  let { path } = smol
  if (!full) {
    path = join(cacheDir, 'shallow.gguf')
    await writeAltered(smol.path, path, { layers: 4 })
  }
  const { all, noise } = await expected(path, [prompt], [128, 512])
  const { engine, kill, logged } = await spawned(t, path, { contextLength: 512, parallel: 1 })
  const scored = await score(engine, { prompt, maxTokens: 2 }, (events) => {
    if (events === 1) kill()
  })
  assert.ok(logged.some((line) => /SIGKILL/.test(line)))
  assert.equal(scored.done.usage.completionTokens, 2)
  assert.ok(scored.events > 1)
  assert.ok(difference(scored, all[0]!) <= noiseAllowed * noise)
  const bytes = await engine.tokenBytes([scored.tokens[5]!.token])
  assert.deepEqual([...bytes[0]!], scored.tokens[5]!.bytes)
})

test('what cannot be told of a prompt is refused', { skip: stories.skip }, async () => {
  await using engine = await Engine.load(stories.path, { cacheDir, threads: 1 })
  const refused = (request: GenerateRequest) =>
    assert.throws(() => engine.generate({ prompt: 'x', ...request }), {
      code: 'invalid_request',
      param: 'promptLogprobs',
    })
  refused({ promptLogprobs: 21 })
  refused({ promptLogprobs: 0.5 })
  refused({ promptLogprobs: 1, policy: 'confident' })
})
