import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { model, temporaryDirectory } from '../../test/fixtures/gguf.ts'
import type { Sequence } from '../core/sequences/sequence.ts'
import { readGguf, type StageFile, stageFiles } from '../gguf/index.ts'
import type { DecodeResult } from '../llama/context.ts'
import { Model } from '../llama/model.ts'
import { Device } from './device.ts'
import { Stage } from './stage.ts'

const { path, skip } = model('SmolLM2-135M-Instruct.Q4_1.gguf')

/** The first half of SmolLM2 on a device of its own, with one compute thread. */
async function half(t: TestContext, file: StageFile): Promise<Stage> {
  const device = new Device(1)
  const options = { cells: 512, slots: 1, batch: 256, outputs: 1 }
  const stage = new Stage(await Model.load(file.path), device, { ...file, ...options })
  t.after(() => {
    stage[Symbol.dispose]()
    device[Symbol.dispose]()
  })
  return stage
}

/** Runs the first tokens of a text, from an empty cache on. */
async function run(stage: Stage, tokens: number): Promise<DecodeResult> {
  stage.remove(0, 0)
  const sequence = { tokens: Array.from({ length: tokens }, (_, i) => 300 + i) } as unknown as Sequence
  const rows = { sequence, slot: 0, shared: [], from: 0, to: tokens, output: tokens, valid: tokens }
  const step = { stage: 0, rows: [rows] }
  const { result } = await stage.device.run(step, stage, undefined)
  if (result === 'done') stage.storeHiddenStates(step, undefined)
  return result
}

const states = (of: Stage, rows: number) => Array.from({ length: rows }, (_, i) => of.statesOf(0).row(i).slice())

test('two devices run at once: a short step ends while a long one that began earlier is running', {
  skip,
}, async (t) => {
  const [file] = await stageFiles(await readGguf(path), 'f'.repeat(64), [15], await temporaryDirectory(t))
  const [a, b] = [await half(t, file!), await half(t, file!)]
  // Once for the page cache.
  await run(b, 8)
  const expected = states(b, 8)
  for (let round = 0; round < 3; round++) {
    const ended: string[] = []
    const long = run(a, 256).then(() => ended.push('long'))
    const short = run(b, 8).then(() => ended.push('short'))
    await Promise.all([long, short])
    assert.deepEqual(ended, ['short', 'long'])
    assert.deepEqual(states(b, 8), expected, 'as if it had been alone')
  }
  // An abort of one is none of the other.
  const [long, short] = [run(a, 256), run(b, 64)]
  a.device.abort()
  assert.equal(await long, 'aborted')
  assert.equal(await short, 'done')
})
