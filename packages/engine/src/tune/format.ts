import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { WeightFormat } from '../api/weight-formats.ts'
import { argmax } from '../core/sampling/softmax.ts'
import { defaultCacheDir, readGguf } from '../gguf/index.ts'
import { Model } from '../llama/model.ts'
import { requantize } from '../llama/requantize.ts'
import { divergence } from './divergence.ts'
import { Plain } from './plain.ts'
import { type TunePrompt, tokenisePrompts } from './prompts.ts'

export interface FormatOptions {
  model: string
  /** What the formats are compared on. */
  prompts: readonly TunePrompt[]
  formats?: readonly WeightFormat[]
  threads?: number
  /** Where the files are made that are measured. Default: the per-user cache directory. */
  cacheDir?: string
  onProgress?: (line: string) => void
}

/** What a format is like on this machine, beside the model as it is. */
export interface FormatReport {
  /** Undefined: the file as it is. */
  readonly format: WeightFormat | undefined
  readonly description: string
  readonly bytes: number
  /** Tokens per second of a prompt, and of a reply in its middle. */
  readonly promptPerSecond: number
  readonly replyPerSecond: number
  /** Milliseconds of a step that verifies guesses: eight rows. */
  readonly eightRowsMs: number
  /** Kullback-Leibler divergence of the next token from the file's own, nats per token; and how often its best token is theirs. */
  readonly divergence: number
  readonly agreement: number
}

/** Those that CPUs have fast kernels for. */
const usualFormats: readonly WeightFormat[] = ['Q8_0', 'Q4_0', 'IQ4_NL', 'Q4_K_M']

const promptTokens = 512
const replyTokens = 24
const comparedTokens = 384
const repetitions = 3

/**
 * Measures a model in other formats of its weights, in turns with the model as it is. Nothing of it stays.
 * @throws IncipitError `model_unsupported` for what cannot be brought into any of them
 */
export async function tuneFormat(options: FormatOptions): Promise<FormatReport[]> {
  const { model: path, formats = usualFormats, threads = 2, onProgress: say = () => {} } = options
  using own = await Model.load(path)
  const tokens = sampleOf(own, options.prompts)
  using plain = new Plain(own, { cells: cellsOf(tokens), threads, outputs: comparedTokens })
  say(`measuring the file as it is: ${own.description}`)
  const reports = [await report(plain, plain, tokens, undefined)]
  const { cacheDir = defaultCacheDir() } = options
  await mkdir(cacheDir, { recursive: true })
  const folder = await mkdtemp(join(cacheDir, 'formats-'))
  await using cleanup = new AsyncDisposableStack()
  cleanup.defer(() => rm(folder, { recursive: true, force: true }))
  for (const format of formats) {
    const file = join(folder, `${format}.gguf`)
    say(`bringing the weights into ${format}`)
    await requantize(path, file, format, threads)
    {
      using model = await Model.load(file)
      using other = new Plain(model, { cells: cellsOf(tokens), threads, outputs: comparedTokens })
      say(`measuring ${format}`)
      reports.push(await report(other, plain, tokens, format))
    }
    await rm(file)
  }
  return reports
}

/** Text of the prompts, one after another. */
function sampleOf(model: Model, prompts: readonly TunePrompt[]): number[] {
  const all = tokenisePrompts(model, prompts, promptTokens).flatMap(({ tokens }) => tokens)
  return all.slice(0, Math.max(promptTokens, comparedTokens))
}

function cellsOf(tokens: readonly number[]): number {
  return tokens.length + 2 * replyTokens
}

async function report(
  plain: Plain,
  reference: Plain,
  tokens: readonly number[],
  format: WeightFormat | undefined,
): Promise<FormatReport> {
  const timed = async (run: () => Promise<void>) => {
    const begin = performance.now()
    await run()
    return performance.now() - begin
  }
  let promptMs = Number.POSITIVE_INFINITY
  const prompt = tokens.slice(0, promptTokens)
  for (let i = 0; i < repetitions; i++) {
    plain.reset()
    promptMs = Math.min(promptMs, await timed(() => plain.run(prompt)))
  }
  const replyMs: number[] = []
  const eightMs: number[] = []
  for (let i = 0; i < replyTokens; i++) {
    replyMs.push(await timed(() => plain.run([tokens[i % tokens.length]!])))
    plain.reset(prompt.length)
    if (i % 3 > 0) continue
    eightMs.push(await timed(() => plain.run(tokens.slice(0, 8), 0)))
    plain.reset(prompt.length)
  }
  const { size } = await readGguf(plain.model.path)
  return {
    format,
    description: plain.model.description,
    bytes: size,
    promptPerSecond: (1000 * prompt.length) / promptMs,
    replyPerSecond: 1000 / middle(replyMs),
    eightRowsMs: middle(eightMs),
    ...(await compared(plain, reference, tokens.slice(0, comparedTokens))),
  }
}

/** Token by token, what the model says comes next against what the file as it is says. */
async function compared(
  plain: Plain,
  reference: Plain,
  tokens: readonly number[],
): Promise<Pick<FormatReport, 'divergence' | 'agreement'>> {
  if (plain === reference) return { divergence: 0, agreement: 1 }
  for (const one of [plain, reference]) {
    one.reset()
    await one.run(tokens, 0)
  }
  const { size } = reference.model.vocab
  const [theirs, ours] = [new Float32Array(size), new Float32Array(size)]
  let sum = 0
  let same = 0
  for (let row = 0; row < tokens.length; row++) {
    reference.context.logits(row, theirs)
    plain.context.logits(row, ours)
    sum += divergence(theirs, ours)
    if (argmax(theirs) === argmax(ours)) same++
  }
  return { divergence: sum / tokens.length, agreement: same / tokens.length }
}

function middle(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1]!
}
