import type { ConstraintCompiler } from './constraint.ts'
import type { WeightFormat } from './weight-formats.ts'

/** A log line of the engine or of llama.cpp. */
export type Log = (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void

export interface LoraOptions {
  readonly path: string
  /** How many times it is added; 0 changes nothing. Default 1. */
  readonly scale?: number
}

export interface EngineOptions {
  /** Makes what a request declares (`constraint`) into masks over tokens. Without it such requests are refused. */
  constraints?: ConstraintCompiler
  /** Most requests that wait for a place; further ones are refused with `overloaded`. Default 1024. */
  maxWaiting?: number
  /** Most tokens of one sequence. Default: the model's training context, at most 8192. */
  contextLength?: number
  /** KV cells shared by all sequences. Default: `contextLength`. */
  cells?: number
  /**
   * One KV cache for all requests, or one for each, where a reply's attention never walks over the cells of others.
   * Default: `separate` from 4 parallel requests on, where that takes at most an eighth of the machine's memory and the
   * model allows it.
   */
  cache?: 'unified' | 'separate'
  /**
   * Of a recurrent memory: so many guesses of a step can be taken back, at most 4, each for one more copy of the state of
   * every sequence. Default: as many as fit into a sixteenth of the machine's memory.
   */
  snapshots?: number
  /**
   * Layers with a sliding window keep all rows (`full`), as every reuse and every guess wants it, or one window for each
   * sequence (`alone`), which takes less memory. Default: `full`, unless a full context takes more than an eighth of the
   * machine's memory then.
   */
  slidingWindow?: 'full' | 'alone'
  /**
   * Whether attention runs as one kernel. On CPUs that reads a prompt up to twice as fast; with heads narrower than 64 it
   * says a token two to three times as slowly. Default: where llama.cpp can.
   */
  flashAttention?: boolean
  /** Most requests that run at once; further ones wait. Default 8. */
  parallel?: number
  /**
   * Compute threads. Default: the machine's cores. A list gives every stage a device of its own, with so many threads:
   * then the stages run at the same time, as on several processors.
   */
  threads?: number | readonly number[]
  /**
   * Layers before which the model is cut into stages, e.g. [8]. `'auto'` cuts only where a fitted exit exists and pays;
   * `'none'` never. Default `'auto'`.
   */
  cut?: 'auto' | 'none' | readonly number[]
  /**
   * The weights are brought into this format first, once, into the cache: some are read faster than others on this CPU
   * (`incipit tune --format`). Another format is another model, if a very similar one. Default: that of the file.
   */
  format?: WeightFormat
  /** A smaller GGUF model with the same vocabulary, which drafts for this one (proposer `draft`). */
  draft?: string
  /** A mixture of experts drafts for itself with this many active experts (proposer `experts`). */
  experts?: number
  /**
   * LoRA adapters (GGUF) that are added to the weights. The model runs as one stage with them. Other requests than those
   * of this engine are not concerned: an engine without them, over the same file, is another model.
   */
  loras?: readonly LoraOptions[]
  /** A file of trained heads on the exit's state, which guess the tokens after the exit's (proposer `heads`). */
  heads?: string
  /** Where stage files and calibrations live. Default: the per-user cache directory. */
  cacheDir?: string
  log?: Log
}
