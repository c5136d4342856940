import { type WeightFormat, weightFormats } from '@incipit/engine/api'
import { type Command, InvalidArgumentError } from 'commander'
import { UsageError } from '../failure.ts'
import { formatTable } from '../models/format-table.ts'
import { integer } from '../options.ts'
import { readText } from '../text-file.ts'

interface TuneFlags {
  exit?: true
  skim?: true
  format?: true | WeightFormat[]
  model?: string
  at?: number
  prompts?: string
  tokens?: number
  threads?: number
}

/** `incipit tune`: fits and calibrates what guesses ahead, from the model's own replies. */
export function addTune(program: Command): void {
  program
    .command('tune')
    .description('Fit an early exit, calibrate the look ahead, or measure formats of the weights. Takes minutes.')
    .option('--exit', 'fit an exit head, so that the first layers can propose tokens')
    .option('--skim', 'calibrate the look ahead on long prompts')
    .option(
      '--format [formats]',
      `measure the weights in other formats: how fast, and how far from the file (default: those with fast kernels)`,
      formats,
    )
    .option('-m, --model <model>', 'path, name in the store, short name, or hf:owner/repo/file.gguf')
    .option('--at <layer>', 'layers before the exit (default: a quarter of them)', integer(1))
    .option('--prompts <file>', 'one JSON object per line with prompt, turns or messages (default: our own)')
    .option('-n, --tokens <n>', 'tokens of each reply to learn from (default: 24)', integer(1))
    .option('--threads <n>', 'compute threads (default: all cores)', integer(1))
    .action(tune)
}

async function tune(flags: TuneFlags): Promise<void> {
  if (flags.exit === undefined && flags.skim === undefined && flags.format === undefined) {
    throw new UsageError('say what to tune: --exit, --skim or --format')
  }
  const { resolveModel } = await import('../models/resolve.ts')
  const { defaultPrompts, parsePrompts, tuneExit, tuneFormat, tuneSkim } = await import('@incipit/engine')
  const { path } = await resolveModel(flags.model)
  const prompts =
    flags.prompts === undefined ? await defaultPrompts() : parsePrompts(await readText(flags.prompts, 'prompt'))
  const options = {
    model: path,
    prompts,
    onProgress: (line: string) => process.stderr.write(`${line}\n`),
    ...(flags.tokens === undefined ? {} : { tokens: flags.tokens }),
    ...(flags.threads === undefined ? {} : { threads: flags.threads }),
  }
  const percent = (share: number) => `${(100 * share).toFixed(1)}%`
  if (flags.format) {
    const wanted = flags.format === true ? {} : { formats: flags.format }
    process.stdout.write(formatTable(await tuneFormat({ ...options, ...wanted }), path))
  }
  if (flags.skim) {
    const { right, prompts: count } = await tuneSkim(options)
    process.stdout.write(
      `skim: calibrated on ${count} long prompts, its first token is right in ${percent(right.first)}\n`,
    )
  }
  if (flags.exit) {
    const { at, rows, agreement, shown } = await tuneExit({
      ...options,
      ...(flags.at === undefined ? {} : { at: flags.at }),
    })
    process.stdout.write(
      `exit after ${at} layers: right in ${percent(agreement.first)} of ${rows.first} first and ` +
        `${percent(agreement.later)} of ${rows.later} later tokens (held out)\n` +
        `may be shown at 0.9: ${percent(shown.first)} of first and ${percent(shown.later)} of later tokens\n`,
    )
  }
}

/** Formats of weights, as `Q8_0,Q4_0`. */
function formats(text: string): WeightFormat[] {
  return text.split(',').map((name) => {
    const known = weightFormats.find((format) => format === name)
    if (known === undefined) throw new InvalidArgumentError(`It must be some of ${weightFormats.join(', ')}.`)
    return known
  })
}
