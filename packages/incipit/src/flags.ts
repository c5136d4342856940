import {
  type EngineOptions,
  type Log,
  type Policy,
  policies,
  type TierName,
  tierNames,
  type WeightFormat,
  weightFormats,
} from '@incipit/engine/api'
import { type Command, Option } from 'commander'
import { UsageError } from './failure.ts'
import { cut, decimal, defined, integer, threads } from './options.ts'

/** What `run` and `serve` are told about the engine. */
export interface EngineFlags {
  cut?: 'auto' | 'none' | number[]
  context?: number
  parallel?: number
  maxWaiting?: number
  cache?: 'unified' | 'separate'
  threads?: number | number[]
  draft?: string
  experts?: number
  heads?: string
  format?: WeightFormat
}

/** What `run` and `serve` are told about replies: of the one request, or of those that say nothing themselves. */
export interface ReplyFlags {
  tier?: TierName
  policy: Policy
  alpha?: number
}

/** How the words of the one reply, or of a conversation, are chosen. */
export interface SamplingFlags {
  temperature?: number
  topP?: number
  topK?: number
  minP?: number
  seed?: number
}

/** Adds the options of {@link EngineFlags} that `run` and `serve` share. */
export function addEngineFlags(command: Command): Command {
  return command
    .option('--cut <layers>', 'auto, none, or layers to cut before, such as 8 or 8,16 (default: auto)', cut)
    .option(
      '--threads <n>',
      'compute threads, or a list such as 1,1: a device for each stage (default: all cores)',
      threads,
    )
    .addOption(
      new Option(
        '--cache <layout>',
        'one KV cache for all requests (unified), or one for each (default: whichever suits model, memory and --parallel)',
      ).choices(['unified', 'separate']),
    )
    .option('--draft <model>', 'a smaller model with the same vocabulary, which drafts for this one')
    .option('--experts <n>', 'a mixture of experts drafts for itself with this many active ones', integer(1))
    .option('--heads <file>', "trained heads on the exit's state, which guess the tokens after the exit's")
    .addOption(
      new Option(
        '--format <format>',
        'bring the weights into this format first, once, into the cache (default: as in the file; see tune --format)',
      ).choices(weightFormats),
    )
}

/** Adds the options of {@link SamplingFlags}. */
export function addSamplingFlags(command: Command): Command {
  return command
    .option('-t, --temperature <t>', 'randomness; 0 always takes the most probable token (default: 0)', decimal(0))
    .option('--top-p <p>', 'sample from the smallest set with this probability (default: 1, off)', decimal(0, 1))
    .option('--top-k <k>', 'sample from the k most probable tokens (default: 0, off)', integer(0))
    .option('--min-p <p>', 'drop tokens below this share of the best one (default: 0, off)', decimal(0, 1))
    .option('--seed <s>', 'the same seed gives the same text (default: 0)', integer(Number.MIN_SAFE_INTEGER))
}

/** Adds the options of {@link ReplyFlags}. */
export function addReplyFlags(command: Command, ofWhom: string, policy: Policy = 'committed'): Command {
  return command
    .addOption(
      new Option('--tier <tier>', `how soon the first word is wanted${ofWhom} (default: chat)`).choices(tierNames),
    )
    .addOption(
      new Option(
        '-p, --policy <policy>',
        `committed: final text only; provisional: also text that may be revised; tolerant (LOSSY): revises less, ` +
          `keeps shown words that the model holds likely enough; confident (LOSSY): words of an early exit are final${ofWhom}`,
      )
        .choices(policies)
        .default(policy),
    )
    .option('--alpha <x>', "of tolerant: least share of the best word's probability (default: 0.5)", decimal(0, 1))
}

/** @throws UsageError for options that mean nothing together */
export function checkReplyFlags({ policy, alpha }: ReplyFlags): void {
  if (alpha !== undefined && policy !== 'tolerant') throw new UsageError('--alpha needs --policy tolerant')
}

/** @param shown log levels that are printed without INCIPIT_DEBUG */
export function engineOptions(
  flags: EngineFlags,
  shown: readonly Parameters<Log>[0][] = ['error'],
): Omit<EngineOptions, 'constraints'> {
  const { cut, context, parallel, maxWaiting, cache, threads, draft, experts, heads, format } = flags
  const log: Log = (level, message) => {
    // What fails inside llama.cpp comes back as an error of ours; its own lines (also on a wanted abort) are details.
    if (debugging() || (shown.includes(level) && !message.startsWith('llama.cpp')))
      process.stderr.write(`incipit: ${level}: ${message.trimEnd()}\n`)
  }
  const options = { cut, contextLength: context, parallel, maxWaiting, cache, threads, draft, experts, heads, format }
  return { ...defined(options), log }
}

/** INCIPIT_DEBUG=1 shows stacks and the engine's log. */
function debugging(): boolean {
  return process.env.INCIPIT_DEBUG === '1'
}
