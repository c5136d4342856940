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
const comparedTokens = 384
const rounds = 3
const repliesPerRound = 8
const eightsPerRound = 3

/** The shortest times, in milliseconds: of a prompt, of a row behind it, and of eight. */
interface Times {
  prompt: number
  one: number
  eight: number
}

/**
 * Measures a model in other formats of its weights, each in turns with the model as it is. Nothing of it stays.
 * @throws IncipitError `model_unsupported` for what cannot be brought into any of them
 */
export async function tuneFormat(options: FormatOptions): Promise<FormatReport[]> {
  const { model: path, formats = usualFormats, threads = 2, onProgress: say = () => {} } = options
  using own = await Model.load(path)
  const tokens = sampleOf(own, options.prompts)
  const shape = { cells: tokens.length + 8, threads, outputs: comparedTokens }
  using plain = new Plain(own, shape)
  const ownTimes = noTimes()
  const { cacheDir = defaultCacheDir() } = options
  await mkdir(cacheDir, { recursive: true })
  const folder = await mkdtemp(join(cacheDir, 'formats-'))
  await using _folder = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) }
  const reports: FormatReport[] = []
  for (const format of formats) {
    const file = join(folder, `${format}.gguf`)
    say(`bringing the weights into ${format}`)
    await requantize(path, file, format, threads)
    {
      using model = await Model.load(file)
      using other = new Plain(model, shape)
      say(`measuring ${format}`)
      const times = noTimes()
      for (let round = 0; round < rounds; round++) {
        await measure(plain, tokens, ownTimes)
        await measure(other, tokens, times)
      }
      reports.push({ format, ...(await facts(model, times, tokens.length)), ...(await compared(other, plain, tokens)) })
    }
    await rm(file)
  }
  return [
    { format: undefined, ...(await facts(own, ownTimes, tokens.length)), divergence: 0, agreement: 1 },
    ...reports,
  ]
}

/** Text of the prompts, one after another. */
function sampleOf(model: Model, prompts: readonly TunePrompt[]): number[] {
  const all = tokenisePrompts(model, prompts, promptTokens).flatMap(({ tokens }) => tokens)
  return all.slice(0, promptTokens)
}

function noTimes(): Times {
  return { prompt: Number.POSITIVE_INFINITY, one: Number.POSITIVE_INFINITY, eight: Number.POSITIVE_INFINITY }
}

/** Once more. What disturbs makes a time longer and never shorter. */
async function measure(plain: Plain, tokens: readonly number[], times: Times): Promise<void> {
  const timed = async (what: keyof Times, run: readonly number[], output: number) => {
    const begin = performance.now()
    await plain.run(run, output)
    times[what] = Math.min(times[what], performance.now() - begin)
  }
  plain.reset()
  await timed('prompt', tokens, tokens.length - 1)
  for (let i = 0; i < repliesPerRound + eightsPerRound; i++) {
    if (i < repliesPerRound) await timed('one', tokens.slice(i, i + 1), 0)
    else await timed('eight', tokens.slice(0, 8), 0)
    plain.reset(tokens.length)
  }
}

async function facts({ path, description }: Model, times: Times, tokens: number) {
  const { size } = await readGguf(path)
  return {
    description,
    bytes: size,
    promptPerSecond: (1000 * tokens) / times.prompt,
    replyPerSecond: 1000 / times.one,
    eightRowsMs: times.eight,
  }
}

/** Token by token, what a model says comes next against what the file as it is says. */
async function compared(
  plain: Plain,
  reference: Plain,
  sample: readonly number[],
): Promise<Pick<FormatReport, 'divergence' | 'agreement'>> {
  const tokens = sample.slice(0, comparedTokens)
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
