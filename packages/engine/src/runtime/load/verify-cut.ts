import { join } from 'node:path'
import type { Log } from '../../api/engine-options.ts'
import { IncipitError } from '../../api/errors.ts'
import { CostModel } from '../../core/cost/cost-model.ts'
import { fullAttention } from '../../core/kv/sequence-memory.ts'
import { derivedDir, type StageFile } from '../../gguf/index.ts'
import { kernelsInUse } from '../../llama/library.ts'
import { Model } from '../../llama/model.ts'
import { Acceptances } from '../../proposers/acceptances.ts'
import { FirstWords } from '../../proposers/first-words.ts'
import { defaultSkimCalibration } from '../../proposers/skim-default.ts'
import { Loop } from '../../serving/loop.ts'
import { runPrompt } from '../../serving/run-prompt.ts'
import { Cleanup } from '../cleanup.ts'
import { readDerived, writeDerived } from '../derived-json.ts'
import { Device } from '../device.ts'
import { LlamaExecutor } from '../llama-executor.ts'
import { Stage } from '../stage.ts'

const sample =
  'The opening words of a text were once how it was known: a copyist wrote them large, and readers found their place by them. ' +
  'function first(words) { return words.split(" ")[0] } // 1, 2, 3'
// More than the sample's tokens in any vocabulary.
const cells = 256

interface Verdict {
  /** What computed it: other kernels may say otherwise. */
  readonly kernels: string
  /** Largest difference of any logit. */
  readonly difference: number
}

/**
 * Compares the logits of the staged model with those of the uncut one on a sample, once per cut and CPU: per-layer metadata
 * that a cut breaks shows here. The verdict is remembered beside the stage files.
 * @throws IncipitError `cut_refused` unless they are bit-equal
 */
export async function verifyCut(
  whole: Model,
  files: readonly StageFile[],
  { cacheDir, hash, log }: { cacheDir: string; hash: string; log: Log },
): Promise<void> {
  const path = join(derivedDir(cacheDir, hash), `verified-${files.map(({ to }) => to).join('-')}.json`)
  const isSound = ({ kernels, difference }: Record<string, unknown>) =>
    typeof kernels === 'string' && typeof difference === 'number'
  const kernels = kernelsInUse()
  const known = await readDerived<Verdict>(path, isSound, log)
  let difference = known?.kernels === kernels ? known.difference : undefined
  if (difference === undefined) {
    difference = await differenceOf(whole, files)
    await writeDerived(path, { kernels, difference } satisfies Verdict)
    log('info', `staged and uncut logits differ by at most ${difference}`)
  }
  if (difference !== 0) {
    throw new IncipitError('cut_refused', `staged and uncut logits differ by up to ${difference}`)
  }
}

async function differenceOf(whole: Model, files: readonly StageFile[]): Promise<number> {
  const tokens = whole.vocab.tokenize(sample)
  // Uncut first, on a device of its own; the model itself stays with the caller.
  const expected = await lastLogits([{ model: whole, from: 0, to: whole.layers, last: true }], tokens)
  // Of stage files that cannot all be loaded none may stay in memory.
  using loaded = new Cleanup()
  const parts: Part[] = []
  for (const file of files) parts.push({ ...file, model: loaded.use(await Model.load(file.path)) })
  const staged = await lastLogits(parts, tokens)
  let difference = 0
  for (let i = 0; i < expected.length; i++) {
    const gap = Math.abs(expected[i]! - staged[i]!)
    // A NaN anywhere is a difference.
    if (!(gap <= difference)) difference = Number.isNaN(gap) ? Number.MAX_VALUE : gap
  }
  return difference
}

interface Part {
  readonly model: Model
  readonly from: number
  readonly to: number
  readonly last: boolean
}

/** Logits of the last token, as the engine's own loop computes them. */
async function lastLogits(parts: readonly Part[], tokens: readonly number[]): Promise<Float32Array> {
  using device = new Device(1)
  using stack = new Cleanup()
  const stages = parts.map((part) => {
    const stage = new Stage(part.model, device, { ...part, cells, slots: 1, batch: cells, outputs: 1 })
    // The models belong to the caller.
    stack.defer(() => stage.releaseCache())
    return stage
  })
  const executor = new LlamaExecutor({ stages, devices: [device] })
  const { model, context } = stages.at(-1)!
  const loop = new Loop({
    executor,
    devices: executor.deviceOfStage,
    memory: fullAttention(true),
    slots: 1,
    cells,
    parallel: 1,
    maxWaiting: 1,
    savedBytes: 0,
    contextLength: cells,
    limits: { batch: cells, stepMs: Number.POSITIVE_INFINITY },
    costs: new CostModel(),
    vocabulary: model.vocab,
    acceptances: new Acceptances(),
    exit: undefined,
    firstWords: new FirstWords(defaultSkimCalibration),
    now: () => performance.now(),
  })
  await runPrompt(loop, tokens)
  return context.logits(tokens.length - 1, new Float32Array(model.vocab.size))
}
