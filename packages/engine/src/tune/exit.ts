import { createHash } from 'node:crypto'
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { IncipitError } from '../api/errors.ts'
import { calibrate, survivalOf } from '../core/sampling/calibration.ts'
import { topProbability } from '../core/sampling/sample.ts'
import {
  defaultCacheDir,
  derived,
  derivedDir,
  type Gguf,
  modelHash,
  planCut,
  readGguf,
  stageFiles,
} from '../gguf/index.ts'
import { Model } from '../llama/model.ts'
import { dequantize, ggmlType, quantizeQ8 } from '../llama/quantize.ts'
import { writeDerived } from '../runtime/derived-json.ts'
import type { FittedExit } from '../runtime/load/exit.ts'
import { Plain } from './plain.ts'
import { type TokenisedPrompt, type TunePrompt, tokenisePrompts } from './prompts.ts'
import { fold, Ridge } from './ridge.ts'

export interface TuneOptions {
  /** Path of the GGUF. */
  model: string
  prompts: readonly TunePrompt[]
  /** Tokens of each reply that are used. Default 24. */
  tokens?: number
  cacheDir?: string
  threads?: number
  onProgress?: (line: string) => void
}

export interface TuneExitOptions extends TuneOptions {
  /** Layers before the exit. Default: a quarter of the depth. */
  at?: number
}

// Prompts beyond this say little more per millisecond.
const maxPrompt = 1024
// There are few first tokens and they matter most: each counts as much as this many later ones.
const firstTokenWeight = 4
const lambda = 1e-3

/**
 * Fits the simplest working exit: a linear map A from the normalised state before layer `at` to the model's final
 * normalised state, by ridge regression on the model's own replies, folded into an output matrix W A' (the head of
 * stage 0, behind an identity layer). Then measures it on held-out prompts, as it will run. (Tuned lens: Belrose et al.,
 * 2303.08112, here with a closed form.)
 *
 * @throws IncipitError `cut_refused` when the model cannot be cut there, `tune_failed` when there is too little data
 */
export async function tuneExit(options: TuneExitOptions): Promise<FittedExit> {
  const say = options.onProgress ?? (() => {})
  const cacheDir = options.cacheDir ?? defaultCacheDir()
  const threads = options.threads ?? 2
  const gguf = await readGguf(options.model)
  const hash = await modelHash(options.model, cacheDir)
  using model = await Model.load(options.model)
  const at = options.at ?? Math.max(1, Math.round(model.layers / 4))
  planCut(gguf, [at])
  const prompts = tokenisePrompts(model, options.prompts, maxPrompt)
  const count = options.tokens ?? 24

  say(`replying to ${prompts.length} prompts with ${count} tokens each`)
  const ridge = new Ridge(model.embedding)
  const heldOut: { prompt: TokenisedPrompt; reply: number[] }[] = []
  let fitted = 0
  {
    using plain = new Plain(model, { cells: maxPrompt + count + 1, threads, layerInput: at })
    const x = new Float32Array(model.embedding)
    const y = new Float32Array(model.embedding)
    for (const [index, prompt] of prompts.entries()) {
      const reply = await greedyReply(plain, prompt.tokens, count, {
        states: !prompt.heldOut,
        seen: (position) => {
          if (prompt.heldOut) return
          plain.context.layerInput(plain.lastRow, 1, x)
          plain.context.state(plain.lastRow, y)
          ridge.add(normalise(x), y, position === 0 ? firstTokenWeight : 1)
          fitted++
        },
      })
      if (prompt.heldOut) heldOut.push({ prompt, reply })
      if ((index + 1) % 20 === 0) say(`${index + 1} of ${prompts.length} prompts`)
    }
  }
  if (fitted < 200 || heldOut.length < 20) {
    throw new IncipitError('tune_failed', `${fitted} rows to fit on and ${heldOut.length} held-out prompts: too few`)
  }

  say(`fitting on ${fitted} rows`)
  const head = quantizeQ8(
    fold(await outputMatrix(gguf), ridge.solve(lambda), model.embedding),
    model.vocab.size,
    model.embedding,
  )
  const id = createHash('sha256').update(head).digest('hex').slice(0, 12)
  const shape = [model.embedding, model.vocab.size] as const
  const files = await stageFiles(gguf, hash, [at], cacheDir, { id, type: ggmlType.q8_0, shape, data: async () => head })

  say(`measuring on ${heldOut.length} held-out prompts`)
  const samples = await measure(files[0]!.path, heldOut, threads)
  const first = samples.filter((sample) => sample.first)
  const later = samples.filter((sample) => !sample.first)
  const calibration = { first: calibrate(first), later: calibrate(later) }
  const share = (part: Sample[], test: (sample: Sample) => boolean) =>
    part.filter(test).length / Math.max(1, part.length)
  const report: FittedExit = {
    at,
    id,
    head: { type: ggmlType.q8_0, shape },
    rows: { fitted, first: first.length, later: later.length },
    agreement: { first: share(first, (s) => s.survived), later: share(later, (s) => s.survived) },
    calibration,
    shown: {
      first: share(first, (s) => survivalOf(calibration.first, s.confidence) >= 0.9),
      later: share(later, (s) => survivalOf(calibration.later, s.confidence) >= 0.9),
    },
  }
  // The matrix first: a report without its matrix would be worse than none.
  await derived(cacheDir, hash, `exit-${at}-${id}.bin`, (path) => writeFile(path, head))
  const directory = derivedDir(cacheDir, hash)
  await writeDerived(join(directory, `exit-${at}.json`), report)
  await writeDerived(join(directory, 'exit.json'), { at })
  return report
}

/**
 * The plain model's greedy reply. `seen(i)` is called when the logits of reply token i are there; with `states` the final
 * state of that row can be read too.
 */
export async function greedyReply(
  plain: Plain,
  prompt: readonly number[],
  count: number,
  options: { states?: boolean; seen?: (position: number) => void } = {},
): Promise<number[]> {
  plain.reset()
  const reply: number[] = []
  let input = prompt
  plain.context.keepStates(false)
  if (options.states) {
    // With states every row gives output: keep them for the last row only.
    if (prompt.length > 1) await plain.run(prompt.slice(0, -1))
    input = prompt.slice(-1)
    plain.context.keepStates(true)
  }
  while (reply.length < count) {
    await plain.run(input)
    options.seen?.(reply.length)
    const { token } = topProbability(plain.logits())
    reply.push(token)
    if (plain.model.vocab.isEndOfGeneration(token)) break
    input = [token]
  }
  return reply
}

interface Sample {
  first: boolean
  confidence: number
  survived: boolean
}

/** Runs the stage file with its exit head over prompt and reply: what it guesses against what the model said. */
async function measure(
  path: string,
  cases: readonly { prompt: TokenisedPrompt; reply: number[] }[],
  threads: number,
): Promise<Sample[]> {
  using stage = await Model.load(path)
  const most = Math.max(...cases.map(({ reply }) => reply.length))
  using plain = new Plain(stage, { cells: maxPrompt + most + 1, threads, outputs: most })
  const logits = new Float32Array(stage.vocab.size)
  const samples: Sample[] = []
  for (const { prompt, reply } of cases) {
    plain.reset()
    const tokens = [...prompt.tokens, ...reply.slice(0, -1)]
    const start = prompt.tokens.length - 1
    await plain.run(tokens, start, (from, rows) => {
      for (let row = Math.max(start, from); row < from + rows; row++) {
        const { token, probability } = topProbability(plain.context.logits(row - from, logits))
        samples.push({ first: row === start, confidence: probability, survived: token === reply[row - start] })
      }
    })
  }
  return samples
}

/** The model's output matrix as floats, vocabulary x n_embd: `output.weight`, or the embeddings where they are tied. */
async function outputMatrix(gguf: Gguf): Promise<Float32Array> {
  const tensor =
    gguf.tensors.find(({ name }) => name === 'output.weight') ??
    gguf.tensors.find(({ name }) => name === 'token_embd.weight')
  if (tensor === undefined) throw new IncipitError('cut_refused', `${gguf.path} has no output matrix`)
  const bytes = new Uint8Array(tensor.bytes)
  const file = await open(gguf.path)
  try {
    await file.read(bytes, 0, bytes.length, tensor.offset)
  } finally {
    await file.close()
  }
  return dequantize(
    tensor.type,
    bytes,
    tensor.shape.reduce((product, n) => product * n, 1),
  )
}

/** x / rms(x): what the stage's output norm with weights 1 does. */
function normalise(x: Float32Array): Float32Array {
  let squares = 0
  for (const value of x) squares += value * value
  const scale = 1 / Math.sqrt(squares / x.length + 1e-5)
  return x.map((value) => value * scale)
}
