import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { model, temporaryDirectory } from '../../test/fixtures/gguf.ts'
import { withPredictionLayer } from '../../test/fixtures/mtp-model.ts'
import { draftRequest, greedy } from '../../test/fixtures/proposers.ts'
import { topProbability } from '../core/sampling/sample.ts'
import type { Rows, Sequence } from '../core/sequences/sequence.ts'
import { readGguf } from '../gguf/index.ts'
import { Model } from '../llama/model.ts'
import { Device } from './device.ts'
import { mtpDrafter } from './load/mtp.ts'
import { Stage } from './stage.ts'

const { path, skip } = model('stories260K.gguf')

test('a drafter gets the states of all rows a stage computes, shares and forgets slots with it', {
  skip,
}, async (t) => {
  const file = join(await temporaryDirectory(t), 'mtp.gguf')
  // Its first guess is what the state before the last token says: that token, if the model chose it.
  await withPredictionLayer(await readGguf(path), file, { architecture: 'glm4moe', sees: 'state' })
  using device = new Device(1)
  const loaded = await Model.load(file, { mtp: true })
  const shape = { cells: 512, batch: 64, threadpool: device.threadpool }
  using drafter = mtpDrafter(loaded, { ...shape, sequences: 4 })
  const options = { from: 0, to: loaded.layers, last: true, cells: 512, slots: 4, batch: 64, outputs: 4, drafter }
  using stage = new Stage(loaded, device, options)
  const [long, short] = ['Once upon a time there was a little girl', 'The dog'].map((text) =>
    loaded.vocab.tokenize(text, { addBos: true }),
  )

  /** Runs rows, and gives what the model says after the last one of each. */
  const run = async (...rows: Partial<Rows>[]): Promise<number[]> => {
    const step = { stage: 0, rows: rows.map((part) => ({ shared: [], valid: part.to, ...part }) as Rows) }
    assert.equal((await device.run(step, stage, undefined)).result, 'done')
    stage.storeHiddenStates(step, undefined)
    let row = -1
    return step.rows.map(({ from, to }) => {
      row += to - from
      return topProbability(stage.context.logits(row, new Float32Array(loaded.vocab.size))).token
    })
  }
  const of = (tokens: readonly number[]) => ({ tokens }) as unknown as Sequence
  const guess = async (slot: number, tokens: readonly number[]) =>
    (await drafter.propose([draftRequest(slot, tokens, 1, greedy)], 0)).drafts[0]!.tokens

  const [end, cut] = [long!.length, 6]
  const [a, b] = await run(
    { sequence: of(long!), slot: 0, shared: [{ slot: 2, end: cut }], from: 0, to: end, output: end - 1 },
    { sequence: of(short!), slot: 1, from: 0, to: short!.length, output: short!.length - 1 },
  )
  assert.deepEqual(await guess(0, [...long!, a!]), [a])
  assert.deepEqual(await guess(1, [...short!, b!]), [b])
  // A branch that left the common rows.
  const branch = [...long!.slice(0, cut), 300, 310]
  const [c] = await run({ sequence: of(branch), slot: 2, from: cut, to: cut + 2, output: cut + 1 })
  assert.deepEqual(await guess(2, [...branch, c!]), [c])
  // Rows that were rolled back while they ran count for nothing.
  const wrong = [...long!, 301, 302, 303]
  await run({ sequence: of(wrong), slot: 0, from: end, to: end + 3, output: end + 2, valid: end })
  stage.remove(0, end)
  const right = [...long!, a!]
  const [d] = await run({ sequence: of(right), slot: 0, from: end, to: end + 1, output: end })
  assert.deepEqual(await guess(0, [...right, d!]), [d])

  stage.share(0, 3, 0, end)
  const missing = (slot: number) => drafter.rowsMissing(slot, [...right, d!])
  assert.equal(missing(3), missing(0))
  stage.remove(0, 0)
  assert.equal(missing(0), right.length + 1)
  assert.ok(missing(3) <= 2)
})
