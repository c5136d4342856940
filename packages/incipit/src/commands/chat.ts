import { basename } from 'node:path'
import { nativeThreads } from '@incipit/engine/api'
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
import { decimal, defined, integer } from '../options.ts'
import { whileWaiting } from '../terminal/waiting.ts'

interface ChatFlags extends EngineFlags, ReplyFlags, SamplingFlags {
  model?: string
  maxTokens: number
  minStability?: number
  system?: string
}

/** `incipit chat`: a conversation in the terminal, read while it is typed. */
export function addChat(program: Command): void {
  const command = addSamplingFlags(
    program
      .command('chat')
      .description('Talk to a model. It reads while you type; /help lists what can be said to the program.')
      .option('-m, --model <model>', 'path, name in the store, short name, or hf:owner/repo/file.gguf')
      .option('-n, --max-tokens <n>', 'most tokens of a reply', integer(1), 1024),
  )
    .option('--min-stability <x>', 'show guesses of at least this stability; 0 shows all (default: 0.9)', decimal(0, 1))
    .option('-s, --system <text>', 'system message before the conversation')
    .action(talk)
  addEngineFlags(addReplyFlags(command, '', 'provisional'))
}

async function talk(flags: ChatFlags): Promise<void> {
  checkReplyFlags(flags)
  Object.assign(process.env, nativeThreads(flags.threads))
  const { resolveModel } = await import('../models/resolve.ts')
  const draft = flags.draft === undefined ? undefined : (await resolveModel(flags.draft, { option: '--draft' })).path
  const { Engine } = await import('@incipit/engine')
  const { chat } = await import('../chat/chat.ts')
  const { maxTokens, temperature, topP, topK, minP, seed, minStability, alpha } = flags
  await chat({
    model: flags.model,
    settings: { policy: flags.policy, tier: flags.tier ?? 'chat', system: flags.system ?? '' },
    sampling: defined({ maxTokens, temperature, topP, topK, minP, seed, minStability, alpha }),
    engines: {
      find: async (model, option) => (await resolveModel(model, { option })).path,
      load: (path) => {
        const options = { parallel: 2, ...engineOptions({ ...flags, ...defined({ draft }) }) }
        return whileWaiting(`loading ${basename(path)}`, () => Engine.load(path, options))
      },
    },
  })
}
