import type { EngineFlags } from '../options.ts'

/** What the supervisor hands to the worker: everything that is decided once, also for restarts. */
export interface ServeConfig extends EngineFlags {
  model: string
  host: string
  /** 0 takes any free port. */
  port: number
  apiKey?: string
  version: string
  /** A worker before this one crashed: say less. */
  restarted: boolean
}
