import type { Log } from './engine-options.ts'
import type { IncipitError } from './errors.ts'

export interface EmbedderOptions {
  /** Most tokens of one text. Default: what the model was trained for, at most 2048, and fewer with a large vocabulary. */
  contextLength?: number
  /** Compute threads. Default: the machine's cores. */
  threads?: number
  log?: Log
}

/** What `Embedder.info` says about the loaded model. */
export interface EmbedderInfo {
  /** File name without `.gguf`. */
  name: string
  path: string
  architecture: string
  /** For people, e.g. `bert, 33.2M parameters, F16`. */
  description: string
  vocabulary: number
  /** Values of a vector. */
  dimensions: number
  /** Most tokens of one text. */
  contextLength: number
  /** How the states of a text's tokens become one vector: their mean, the first or the last one. */
  pooling: 'mean' | 'cls' | 'last'
  /**
   * The model was made for it. Otherwise it is one that says one token after the other, and the mean of its states says
   * something about a text, but less than a model for embeddings does.
   */
  made: boolean
  /** Of the buffers that it computes with; an estimate. */
  memory: { bytes: number }
}

/** A text, or the ids of its tokens, to which nothing is added. */
export type EmbedInput = string | readonly number[]

export interface Embedded {
  /** Of each input, in order, `dimensions` values of length 1 together. */
  readonly vectors: readonly Float32Array<ArrayBuffer>[]
  /** Tokens of all inputs, with those that the model's tokenizer adds to a text. */
  readonly tokens: number
}

/**
 * A model that makes vectors of texts, wherever it runs: `Embedder.load` in this process, `SpawnedEmbedder.start` in a child
 * that may die.
 */
export interface EmbedderApi extends AsyncDisposable {
  readonly info: EmbedderInfo
  /** What keeps it from taking requests, where anything does. */
  readonly failure: IncipitError | undefined
  /**
   * @throws IncipitError `context_overflow` for an input that is too long, `invalid_request` for an empty one or a token that
   *   is none, `cancelled` by the signal, `closed`
   */
  embed(inputs: readonly EmbedInput[], options?: { signal?: AbortSignal }): Promise<Embedded>
  /** Most compute threads from now on. */
  limitThreads(most: number): void
  close(): Promise<void>
}
