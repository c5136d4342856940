import type { EngineFlags, ReplyFlags } from '../flags.ts'

/** What the supervisor hands to the worker: everything that is decided once, also for restarts. */
export interface ServeConfig extends EngineFlags, ReplyFlags {
  model: string
  host: string
  /** 0 takes any free port. */
  port: number
  apiKey?: string
  /** System prompts to keep computed. */
  prefixes: readonly { name: string; text: string }[]
  version: string
  /** A worker before this one crashed: say less. */
  restarted: boolean
}
