import { join } from 'node:path'
import { IncipitError } from '../../api/errors.ts'
import type { Log } from '../../api/request.ts'
import { SequenceTable } from '../../core/sequences/sequence-table.ts'
import { derivedDir, type StageFile } from '../../gguf/index.ts'
import { libraryVersion } from '../../llama/layouts.ts'
import { Model } from '../../llama/model.ts'
import { Device } from '../device.ts'
import { readJson, writeJson } from '../json-file.ts'
import { Stage } from '../stage.ts'

const sample =
  'The opening words of a text were once how it was known: a copyist wrote them large, and readers found their place by them. ' +
  'function first(words) { return words.split(" ")[0] } // 1, 2, 3'

/**
 * Compares the logits of the staged model with those of the uncut one on a sample, once per cut: per-layer metadata that
 * a cut breaks shows here. The verdict is remembered beside the stage files.
 * @throws IncipitError `cut_refused` unless they are bit-equal
 */
export async function verifyCut(
  whole: Model,
  files: readonly StageFile[],
  options: { cacheDir: string; hash: string; log: Log },
): Promise<void> {
  const name = `verified-${files.map(({ to }) => to).join('-')}.json`
  const path = join(derivedDir(options.cacheDir, options.hash), name)
  const known = await readJson<{ library: string; difference: number }>(path)
  let difference = known?.library === libraryVersion ? known.difference : undefined
  if (difference === undefined) {
    const tokens = whole.vocab.tokenize(sample)
    // Uncut first, on a device of its own; the model itself stays with the caller.
    const expected = await lastLogits([{ model: whole, from: 0, to: whole.layers, last: true }], tokens, false)
    // Of stage files that cannot all be loaded none may stay in memory; those on the device are freed with it.
    using loaded = new DisposableStack()
    const models: { model: Model; from: number; to: number; last: boolean }[] = []
    for (const file of files) models.push({ ...file, model: loaded.use(await Model.load(file.path)) })
    const staged = await lastLogits(models, tokens, true)
    difference = 0
    for (let i = 0; i < expected.length; i++) {
      const gap = Math.abs(expected[i]! - staged[i]!)
      // A NaN anywhere is a difference.
      if (!(gap <= difference)) difference = Number.isNaN(gap) ? Number.MAX_VALUE : gap
    }
    await writeJson(path, { library: libraryVersion, difference })
    options.log('info', `staged and uncut logits differ by at most ${difference}`)
  }
  if (difference !== 0) {
    throw new IncipitError('cut_refused', `staged and uncut logits differ by up to ${difference}`)
  }
}

async function lastLogits(
  parts: readonly { model: Model; from: number; to: number; last: boolean }[],
  tokens: readonly number[],
  owned: boolean,
): Promise<Float32Array> {
  using device = new Device(1)
  const stages = parts.map(
    (part) => new Stage(part.model, device, { ...part, cells: 256, slots: 1, batch: 256, outputs: 1 }),
  )
  const costs = { rows: (_stage: number, rows: number) => rows, within: () => 256 }
  const core = new SequenceTable({
    devices: parts.map(() => 0),
    slots: 1,
    cells: 256,
    unified: true,
    caches: { remove: () => {}, share: () => {}, save: () => ({ bytes: 0 }), restore: () => {} },
    limits: { batch: 256, stepMs: 256 },
    costs,
  })
  core.add(tokens)
  for (let step = core.next(); step !== undefined; step = core.next()) {
    const stage = stages[step.stage]!
    await device.run(step, stage, stages[step.stage - 1])
    stage.storeHiddenStates(step, stages[step.stage - 1])
    core.ran(step, 0)
  }
  const { context, model } = stages.at(-1)!
  const logits = context.logits(tokens.length - 1, new Float32Array(model.vocab.size))
  // The uncut model belongs to the caller: only its context goes.
  for (const stage of stages) {
    if (owned) stage[Symbol.dispose]()
    else stage.context[Symbol.dispose]()
  }
  return logits
}
