import type { Engine } from '@incipit/engine'
import { type DoneEvent, type GenerateRequest, isLossy, nativeThreads, showsGuesses } from '@incipit/engine/api'
import type { Command } from 'commander'
import {
  addEngineFlags,
  addReplyFlags,
  addSamplingFlags,
  checkReplyFlags,
  type EngineFlags,
  engineOptions,
  type ReplyFlags,
  type SamplingFlags,
} from '../flags.ts'
import { interruptible } from '../interrupt.ts'
import { collect, decimal, defined, integer } from '../options.ts'
import { constraintOf, type FormFlags, form } from '../reply/constraint.ts'
import { promptOf, readPrompt } from '../reply/prompt.ts'
import { summary } from '../reply/summary.ts'
import { writeLine } from '../terminal/write-line.ts'
import { readText } from '../text-file.ts'

interface RunFlags extends EngineFlags, ReplyFlags, SamplingFlags, FormFlags {
  model?: string
  maxTokens: number
  minStability?: number
  system?: string
  prediction?: string
  stop?: string[]
  raw?: true
  json?: true
  speculation: boolean
}

/** `incipit run`: one prompt, one reply on standard output. */
export function addRun(program: Command): void {
  const command = addSamplingFlags(
    program
      .command('run')
      .description('Answer a prompt on standard output.')
      .argument('[prompt]', 'the prompt; from standard input when it is - or absent')
      .option('-m, --model <model>', 'path, name in the store, short name, or hf:owner/repo/file.gguf')
      .option('-n, --max-tokens <n>', 'most tokens of the reply', integer(1), 512),
  )
    .option(
      '--min-stability <x>',
      'show guesses of at least this stability, or with confident: take them as final; 0 takes all (default: 0.9; of first words so many that nine in ten stay)',
      decimal(0, 1),
    )
    .option('-s, --system <text>', 'system message before the prompt')
    .option('--prediction <file>', 'what the reply is expected to be, such as the file before the edit asked for')
    .addOption(form('--schema <file>', 'the reply is JSON of the JSON schema in this file'))
    .addOption(form('--grammar <file>', 'the reply is text of the grammar in this file, GBNF or Lark'))
    .addOption(form('--regex <pattern>', 'the whole reply matches this regular expression'))
    .addOption(form('--choice <text>', 'the reply is this text, or another --choice').argParser(collect))
    .option('--stop <text>', 'end the reply before this text; may be repeated', collect)
    .option('--raw', 'continue the prompt as it is, without the chat template')
    .option('--json', 'print one event per line')
    .option('--no-speculation', 'let nobody guess ahead')
    .action(run)
  addEngineFlags(addReplyFlags(command, ''))
}

async function run(argument: string | undefined, flags: RunFlags): Promise<void> {
  checkReplyFlags(flags)
  Object.assign(process.env, nativeThreads(flags.threads))
  const prompt = await readPrompt(argument, process.stdin)
  const prediction = flags.prediction === undefined ? undefined : await readText(flags.prediction, 'prediction')
  const { resolveModel } = await import('../models/resolve.ts')
  const { path } = await resolveModel(flags.model)
  const draft = flags.draft === undefined ? undefined : (await resolveModel(flags.draft, { option: '--draft' })).path
  const constraint = await constraintOf(flags)
  const { Engine } = await import('@incipit/engine')
  const lossy = isLossy(flags.policy)
  // While the model loads.
  const importing = import('../reply/output.ts').then(({ replyOutputs }) =>
    replyOutputs(process.stdout, { json: flags.json === true }),
  )
  const options = { parallel: 1, ...engineOptions({ ...flags, ...defined({ draft }) }) }
  const constraints = constraint && (await import('@incipit/constraint/compiler')).default
  await using engine = await Engine.load(path, { ...options, ...defined({ constraints }) })
  const raw = flags.raw === true || !engine.info.hasChatTemplate
  // In code and in data a line break has a meaning.
  const isCode = raw && engine.info.fim !== undefined
  const output = (await importing)({ lossy, wrap: constraint === undefined && !isCode })
  using interrupt = interruptible(process.stdout, () => output.close())
  for (const note of notes(engine, flags)) await writeLine(process.stderr, `incipit: ${note}`)

  const request: GenerateRequest = {
    ...promptOf(prompt, { raw, system: flags.system }),
    ...defined({
      maxTokens: flags.maxTokens,
      policy: flags.policy,
      temperature: flags.temperature,
      topP: flags.topP,
      topK: flags.topK,
      minP: flags.minP,
      seed: flags.seed,
      minStability: flags.minStability,
      alpha: flags.alpha,
      tier: flags.tier,
      prediction,
      constraint,
      stop: flags.stop,
      proposers: flags.speculation ? undefined : [],
    }),
    signal: interrupt.signal,
  }
  let done: DoneEvent | undefined
  try {
    for await (const event of engine.generate(request)) {
      // Once the reader is gone, writing would only wait for it.
      if (interrupt.exitCode !== 0) await output.event(event)
      if (event.type === 'done') done = event
    }
  } catch (error) {
    // A broken pipe ends a wait for room in it too.
    if (interrupt.exitCode === undefined) throw error
  } finally {
    output.close()
  }
  if (done !== undefined && interrupt.exitCode !== 0) {
    if (process.stderr.isTTY && output.midLine()) process.stderr.write('\n')
    await writeLine(process.stderr, summary(done, lossy))
  }
  if (interrupt.exitCode === undefined) return
  // The decode that was aborted has to leave native code first; freeing the model is left to the system.
  await engine.idle()
  process.exit(interrupt.exitCode)
}

/** What the user asked for and will not get. */
function notes({ info }: Engine, flags: RunFlags): string[] {
  const notes: string[] = []
  if (info.cutRefused !== undefined && flags.cut !== undefined)
    notes.push(`the model runs as one stage: ${info.cutRefused}`)
  if (flags.cache === 'separate' && info.cache !== 'separate') {
    notes.push('one KV cache for all requests: with these options this model cannot have one for each')
  }
  const { exit } = info.proposers
  if (isLossy(flags.policy)) {
    notes.push(`policy ${flags.policy} is lossy: the text may differ from what the model itself would say`)
  }
  if (showsGuesses(flags.policy) && flags.speculation && !exit.available) {
    notes.push(`no provisional text from an early exit: ${exit.note ?? 'this model has none'}`)
  }
  if (!info.hasChatTemplate && flags.raw === undefined) {
    notes.push(`${info.name} has no chat template: the prompt is continued as it is (--raw)`)
  }
  return notes
}
