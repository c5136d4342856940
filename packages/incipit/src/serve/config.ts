import type { EngineFlags, ReplyFlags } from '../flags.ts'

/** What `serve` is told: everything that is decided once. */
export interface ServeConfig extends EngineFlags, ReplyFlags {
  model: string
  host: string
  /** 0 takes any free port. */
  port: number
  apiKey?: string
  /** Show the page at `/`. */
  page: boolean
  /** System prompts to keep computed. */
  prefixes: readonly { name: string; text: string }[]
  version: string
}
