import type { ModelConfig } from './models/model-config.ts'

/** What `serve` is told: everything that is decided once. */
export interface ServeConfig {
  /** At least one; the first one answers requests that name none. */
  models: readonly ModelConfig[]
  /** Bytes that the loaded models may take together. */
  memory: number
  /** One model alone refuses requests for one of another name. */
  strictModel: boolean
  host: string
  /** 0 takes any free port. */
  port: number
  apiKey?: string
  /** Show the page at `/`. */
  page: boolean
  version: string
}
