import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Engine, type GenerateRequest, type TokenLogprobs } from '../src/index.ts'
import { Model } from '../src/llama/model.ts'
import { Plain } from '../src/tune/plain.ts'
import { freeRows } from './costs.ts'
import { noiseAllowed } from './fixtures/batch-noise.ts'
import { model } from './fixtures/gguf.ts'
import { plainLogprobs } from './fixtures/plain-logprobs.ts'

// Log-probabilities are the full model's, with speculation or without.

const { path, skip } = model('stories260K.gguf')
const prompts = ['Once upon a time', 'Lily had a red ball. Lily had a red ball. Lily had', 'The dog was very big and']
const maxTokens = 40
const count = 3

let cacheDir: string
before(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), 'incipit-logprobs-'))
  freeRows(() => 64)
})
after(() => rm(cacheDir, { recursive: true, force: true }))

interface Spoken {
  readonly entries: readonly TokenLogprobs[]
  readonly accepted: number
}

async function speak(engine: Engine, request: GenerateRequest): Promise<Spoken> {
  const entries: TokenLogprobs[] = []
  for await (const event of engine.generate({ ...request, maxTokens, logprobs: count })) {
    if (event.type === 'delta') {
      assert.equal(event.logprobs?.length, event.tokens)
      entries.push(...event.logprobs!)
    }
    if (event.type === 'done') return { entries, accepted: event.timings.acceptedN }
  }
  return assert.fail('no done event')
}

for (const temperature of [0, 0.9]) {
  test(`at temperature ${temperature} every token comes with the full model's own probabilities`, {
    skip,
  }, async (t) => {
    await using engine = await Engine.load(path, { cacheDir, threads: 1, draft: path })
    using weights = await Model.load(path)
    using plain = new Plain(weights, { cells: 512, threads: 1, outputs: maxTokens + 1 })
    let [noise, widest, accepted] = [0, 0, 0]
    for (const prompt of prompts) {
      const request: GenerateRequest = { prompt, temperature, seed: 3, cachePrompt: false }
      const start = engine.tokenize(prompt).length + (weights.vocab.addsBos ? 1 : 0)
      const promptTokens = weights.vocab.tokenize(prompt, { addBos: weights.vocab.addsBos })
      assert.equal(promptTokens.length, start)
      for (const proposers of [[], ['lookup', 'draft']] as const) {
        const spoken = await speak(engine, { ...request, proposers })
        accepted += spoken.accepted
        if (proposers.length === 0) assert.equal(spoken.accepted, 0)
        const tokens = [...promptTokens, ...spoken.entries.map(({ token }) => token)]
        const single = await plainLogprobs(plain, tokens, start, 1)
        const batched = await plainLogprobs(plain, tokens, start, 512)
        for (const [i, { token, logprob, top }] of spoken.entries.entries()) {
          assert.equal(top.length, count)
          for (const one of [{ token, logprob }, ...top]) {
            noise = Math.max(noise, Math.abs(single[i]!(one.token) - batched[i]!(one.token)))
            widest = Math.max(widest, Math.abs(one.logprob - single[i]!(one.token)))
          }
          for (let rank = 1; rank < count; rank++) assert.ok(top[rank - 1]!.logprob >= top[rank]!.logprob)
          if (temperature === 0) assert.equal(top[0]!.token, token)
        }
      }
    }
    t.diagnostic(`plain against plain ${noise}, engine against plain ${widest}, ${accepted} drafts accepted`)
    assert.ok(accepted > 20)
    assert.ok(widest <= noiseAllowed * noise, `${widest}, where plain decoding itself moves by ${noise}`)
  })
}

test('constraint, bias and penalties change what is said, not what the model held of it', { skip }, async () => {
  await using engine = await Engine.load(path, { cacheDir, threads: 1 })
  const request: GenerateRequest = { prompt: prompts[0]!, cachePrompt: false, proposers: [] }
  const [free] = (await speak(engine, request)).entries
  const [biased] = (await speak(engine, { ...request, logitBias: { [free!.token]: -100 } })).entries
  assert.notEqual(biased!.token, free!.token)
  assert.deepEqual(biased!.top, free!.top)
  assert.equal(biased!.token, free!.top[1]!.token)
})
