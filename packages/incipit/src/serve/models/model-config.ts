import type { LoraOptions } from '@incipit/engine/api'
import type { EngineFlags, ReplyFlags } from '../../flags.ts'

/** One model to serve, with everything that is decided about it. */
export interface ModelConfig extends EngineFlags, ReplyFlags {
  /** What the API calls it. */
  name: string
  aliases: readonly string[]
  path: string
  /** Adapters that are added to its weights. */
  loras?: readonly LoraOptions[]
  /** It is loaded at start and stays loaded. */
  pinned: boolean
  /** Seconds without a request after which it is unloaded; 0 for never. */
  unloadAfter: number
  /** System prompts to keep computed. */
  prefixes: readonly { name: string; text: string }[]
}
