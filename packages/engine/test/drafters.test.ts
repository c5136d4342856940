import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readGguf } from '../src/gguf/index.ts'
import { Engine, type EngineOptions, type ProposerName } from '../src/index.ts'
import { Comparison } from './compare.ts'
import { freeRows } from './costs.ts'
import { mixtureOf, model, temporaryDirectory } from './fixtures/gguf.ts'
import { repeating } from './fixtures/hybrid-mtp-model.ts'
import { withPredictionLayer } from './fixtures/mtp-model.ts'
import { Reference } from './reference.ts'

const { path, skip } = model('stories260K.gguf')
const beginnings = ['Once upon a time', 'Lily had a red ball. She', 'The dog was very big and', 'Tom and his mom']
// Otherwise it is for the cost model to say whether a small model's drafts pay, and it says no.
freeRows(() => 512)

const prompts = beginnings.map((prompt) => ({ prompt }))

async function load(t: TestContext, file: string, options: EngineOptions): Promise<Engine> {
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

/** With and without drafts the replies are those of plain decoding of the file. Gives drafted and accepted tokens. */
async function check(t: TestContext, engine: Engine, file: string, name: ProposerName) {
  assert.equal(engine.info.proposers[name].available, true, engine.info.proposers[name].note)
  using reference = await Reference.load(file, { cells: 512, threads: 1 })
  const comparison = new Comparison(reference, prompts, { maxTokens: 60 })
  let [drafted, accepted] = [0, 0]
  for (const temperature of [0, 0.8]) {
    const way = { together: prompts.length, choice: () => ({ temperature, seed: 5 }) }
    const plain = await comparison.run(engine, { ...way, name: 'plain', options: () => ({ proposers: [] }) })
    const with_ = await comparison.run(engine, { ...way, name, options: () => ({ proposers: [name] }) })
    assert.equal(plain.drafted, 0)
    t.diagnostic(`${name}, temperature ${temperature}: ${with_.accepted} of ${with_.drafted} drafted tokens accepted`)
    assert.ok(with_.drafted > 0, 'nothing was drafted')
    drafted += with_.drafted
    accepted += with_.accepted
  }
  assert.ok(drafted > 100, `${drafted} drafted`)
  return { drafted, accepted }
}

test('draft: replies as without it, and a draft model that knows what decides is right', { skip }, async (t) => {
  const file = await simple(t, 6)
  const engine = await load(t, file, { draft: await simple(t, 1) })
  const { drafted, accepted } = await check(t, engine, file, 'draft')
  assert.ok(drafted > 100 && accepted >= 0.95 * drafted, `${accepted} of ${drafted}`)
})

test('mtp: replies as without it, and a layer that knows what decides is right', { skip }, async (t) => {
  const file = await simple(t, 6)
  const { drafted, accepted } = await check(t, await load(t, file, {}), file, 'mtp')
  assert.ok(drafted > 100 && accepted >= 0.95 * drafted, `${accepted} of ${drafted}`)
})

for (const name of ['qwen35-dense', 'qwen35moe-moe']) {
  const hybrid = model(`archs/${name}.Q8_0.gguf`)
  test(`mtp of a hybrid: ${name} replies as without it, and a layer that repeats is right`, {
    skip: hybrid.skip,
  }, async (t) => {
    for (const sees of ['token', 'state'] as const) {
      const file = join(await temporaryDirectory(t), 'hybrid.gguf')
      await repeating(await readGguf(hybrid.path), file, sees)
      const engine = await load(t, file, {})
      using reference = await Reference.load(file, { cells: 512, threads: 1 })
      const prompts = [5, 7, 9].map((step) => ({ prompt: Array.from({ length: 40 }, (_, i) => 4 + ((i * step) % 97)) }))
      const comparison = new Comparison(reference, prompts, { maxTokens: 40 })
      const options = () => ({ proposers: ['mtp' as const] })
      const alone = await comparison.run(engine, { name: 'alone', together: 1, options })
      assert.ok(alone.drafted > 60 && alone.accepted === alone.drafted, `${alone.accepted} of ${alone.drafted}`)
      // Rows of several sequences leave no states that can be told apart: who needs them is wrong then.
      const together = await comparison.run(engine, { name: 'together', together: 3, options })
      assert.ok(
        sees === 'state' || together.accepted === together.drafted,
        `${together.accepted} of ${together.drafted}`,
      )
    }
  })
}

test('experts: replies as without it', { skip }, async (t) => {
  const file = join(await temporaryDirectory(t), 'mixture.gguf')
  await mixtureOf(await readGguf(path), file, 8, 8)
  await check(t, await load(t, file, { experts: 1 }), file, 'experts')
})

test('a model without a prediction layer, or with another model that drafts, says why there is no mtp', {
  skip,
}, async (t) => {
  assert.match((await load(t, path, {})).info.proposers.mtp.note!, /no prediction layer/)
  const file = await simple(t, 1)
  assert.match((await load(t, file, { draft: file })).info.proposers.mtp.note!, /another model drafts/)
})

test('stages on two devices, and a drafter with threads of its own', { skip }, async (t) => {
  await check(t, await load(t, path, { draft: path, cut: [2], threads: [1, 1] }), path, 'draft')
})
