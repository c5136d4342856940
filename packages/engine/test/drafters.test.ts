import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { CostModel } from '../src/core/cost/cost-model.ts'
import type { Microbatch } from '../src/core/cost/microbatches.ts'
import { readGguf } from '../src/gguf/index.ts'
import { Engine, type EngineOptions, type ProposerName } from '../src/index.ts'
import { DraftRunner } from '../src/runtime/draft-runner.ts'
import { mixtureOf, model, temporaryDirectory } from './fixtures/gguf.ts'
import { withPredictionLayer } from './fixtures/mtp-model.ts'

const { path, skip } = model('stories260K.gguf')
const beginnings = ['Once upon a time', 'Lily had a red ball. She', 'The dog was very big and', 'Tom and his mom']

/** The engine, on a machine where drafts cost next to nothing: whatever this one is, drafts are made. */
async function load(t: TestContext, file: string, options: EngineOptions): Promise<Engine> {
  t.mock.method(CostModel.prototype, 'microbatch', (_: number, { rows }: Microbatch) => 1 + rows / 1000)
  t.mock.method(DraftRunner.prototype, 'estimateMs', () => ({ behind: 0, guesses: 0 }))
  const engine = await Engine.load(file, { cacheDir: await temporaryDirectory(t), threads: 1, ...options })
  t.after(() => engine.close())
  return engine
}

/** A model whose next token depends on the last one only, with a prediction layer that knows, `repeat` times 5 layers. */
async function simple(t: TestContext, repeat: number): Promise<string> {
  const file = join(await temporaryDirectory(t), 'simple.gguf')
  const fixture = { architecture: 'glm4moe', sees: 'token', idle: true, repeat } as const
  await withPredictionLayer(await readGguf(path), file, fixture)
  return file
}

/** Texts of all replies at once, and what became of the drafts. */
async function replies(engine: Engine, proposers: ProposerName[], temperature: number) {
  const sum = { drafted: 0, accepted: 0 }
  const texts = await Promise.all(
    beginnings.map(async (prompt) => {
      let text = ''
      const request = { prompt, maxTokens: 60, proposers, temperature, seed: 5 }
      for await (const event of engine.generate(request)) {
        if (event.type === 'delta') text += event.text
        if (event.type !== 'done') continue
        sum.drafted += event.timings.draftedN
        sum.accepted += event.timings.acceptedN
      }
      return text
    }),
  )
  return { texts, ...sum }
}

/** With and without drafts the replies are the same. Gives drafted and accepted tokens. */
async function check(t: TestContext, engine: Engine, name: ProposerName) {
  assert.equal(engine.info.proposers[name].available, true, engine.info.proposers[name].note)
  let [drafted, accepted] = [0, 0]
  for (const temperature of [0, 0.8]) {
    const plain = await replies(engine, [], temperature)
    const with_ = await replies(engine, [name], temperature)
    assert.deepEqual(with_.texts, plain.texts)
    assert.equal(plain.drafted, 0)
    t.diagnostic(`${name}, temperature ${temperature}: ${with_.accepted} of ${with_.drafted} drafted tokens accepted`)
    assert.ok(with_.drafted > 0, 'nothing was drafted')
    drafted += with_.drafted
    accepted += with_.accepted
  }
  return { drafted, accepted }
}

test('draft: replies as without it, and a draft model that knows what decides is right', { skip }, async (t) => {
  const engine = await load(t, await simple(t, 6), { draft: await simple(t, 1) })
  const { drafted, accepted } = await check(t, engine, 'draft')
  assert.ok(drafted > 100 && accepted >= 0.95 * drafted, `${accepted} of ${drafted}`)
})

test('mtp: replies as without it, and a layer that knows what decides is right', { skip }, async (t) => {
  const { drafted, accepted } = await check(t, await load(t, await simple(t, 6), {}), 'mtp')
  assert.ok(drafted > 100 && accepted >= 0.95 * drafted, `${accepted} of ${drafted}`)
})

test('experts: replies as without it', { skip }, async (t) => {
  const file = join(await temporaryDirectory(t), 'mixture.gguf')
  await mixtureOf(await readGguf(path), file, 8, 8)
  await check(t, await load(t, file, { experts: 1 }), 'experts')
})

test('a model without a prediction layer, or with another model that drafts, says why there is no mtp', {
  skip,
}, async (t) => {
  assert.match((await load(t, path, {})).info.proposers.mtp.note!, /no prediction layer/)
  const file = await simple(t, 1)
  assert.match((await load(t, file, { draft: file })).info.proposers.mtp.note!, /another model drafts/)
})

test('stages on two devices, and a drafter with threads of its own', { skip }, async (t) => {
  await check(t, await load(t, path, { draft: path, cut: [2], threads: [1, 1] }), 'draft')
})
