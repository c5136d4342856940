import type { Command } from 'commander'
import {
  addEngineFlags,
  addReplyFlags,
  checkReplyFlags,
  type EngineFlags,
  engineOptions,
  type ReplyFlags,
} from '../flags.ts'
import { decimal, defined, integer } from '../options.ts'

interface ChatFlags extends EngineFlags, ReplyFlags {
  model?: string
  maxTokens: number
  temperature?: number
  topP?: number
  topK?: number
  minP?: number
  seed?: number
  minStability?: number
  system?: string
}

/** `incipit chat`: a conversation in the terminal, read while it is typed. */
export function addChat(program: Command): void {
  const command = program
    .command('chat')
    .description('Talk to a model. It reads while you type; /help lists what can be said to the program.')
    .option('-m, --model <model>', 'path, name in the store, or hf:owner/repo/file.gguf')
    .option('-n, --max-tokens <n>', 'most tokens of a reply', integer(1), 1024)
    .option('-t, --temperature <t>', 'randomness; 0 always takes the most probable token (default: 0)', decimal(0))
    .option('--top-p <p>', 'sample from the smallest set with this probability (default: 1, off)', decimal(0, 1))
    .option('--top-k <k>', 'sample from the k most probable tokens (default: 0, off)', integer(0))
    .option('--min-p <p>', 'drop tokens below this share of the best one (default: 0, off)', decimal(0, 1))
    .option('--seed <s>', 'the same seed gives the same text (default: 0)', integer(Number.MIN_SAFE_INTEGER))
    .option('--min-stability <x>', 'show guesses of at least this stability; 0 shows all (default: 0.9)', decimal(0, 1))
    .option('-s, --system <text>', 'system message before the conversation')
    .action(talk)
  addEngineFlags(addReplyFlags(command, '', 'provisional'))
}

async function talk(flags: ChatFlags): Promise<void> {
  checkReplyFlags(flags)
  const { resolveModel } = await import('../models/resolve.ts')
  const draft = flags.draft === undefined ? undefined : (await resolveModel(flags.draft, { option: '--draft' })).path
  const { Engine } = await import('@incipit/engine')
  const { chat } = await import('../chat/chat.ts')
  const { maxTokens, temperature, topP, topK, minP, seed, minStability, alpha } = flags
  await chat({
    model: flags.model,
    settings: { policy: flags.policy, tier: flags.tier ?? 'chat', system: flags.system ?? '' },
    sampling: defined({ maxTokens, temperature, topP, topK, minP, seed, minStability, alpha }),
    load: async (model) => {
      const { path } = await resolveModel(model)
      return Engine.load(path, { parallel: 2, ...engineOptions({ ...flags, ...defined({ draft }) }) })
    },
  })
}
