import { IncipitError } from '../api/errors.ts'
import type { Batch } from './batch.ts'
import { decodeToEnd } from './decode.ts'
import { Handle } from './handle.ts'
import { library, type Pointer, withLog } from './library.ts'
import type { Model } from './model.ts'
import type { Threadpool } from './threadpool.ts'

/** How the states of a text's tokens become one vector (llama.h: `enum llama_pooling_type`). */
const poolings = { mean: 1, cls: 2, last: 3 } as const

type Pooling = keyof typeof poolings

export interface EmbeddingContextOptions {
  /** Most tokens of one run: a text's vector is made in one go. */
  tokens: number
  /** Most texts of one run, ids 0..texts-1. */
  texts: number
  pooling: Pooling
  threadpool: Threadpool
}

/** Buffers to make vectors of texts with a model, of either kind: encoders and those that say one token after the other. */
export class EmbeddingContext implements Disposable {
  readonly model: Model
  readonly tokens: number
  readonly texts: number
  readonly #handle: Handle
  readonly #pool: Threadpool
  #busy = false

  /** @throws IncipitError `context_memory` */
  constructor(model: Model, { tokens, texts, pooling, threadpool }: EmbeddingContextOptions) {
    const lib = library()
    const pool = threadpool.handle
    void pool.pointer
    // llama.cpp plans for texts of equal length, and ends the process where they do not divide its rows.
    const rows = Math.ceil(tokens / texts) * texts
    const params = {
      ...lib.contextDefaultParams(),
      n_ctx: rows,
      n_batch: rows,
      // A text that ran in two microbatches would have the vector of its second part.
      n_ubatch: rows,
      n_seq_max: texts,
      n_outputs_max: rows,
      n_outputs_max_per_seq: 0,
      n_threads: threadpool.threads,
      n_threads_batch: threadpool.threads,
      pooling_type: poolings[pooling],
      embeddings: true,
      no_perf: true,
      kv_unified: true,
    }
    const { result: pointer, errors } = withLog(() => lib.contextInit(model.handle.pointer, params))
    if (!pointer) throw new IncipitError('context_memory', `llama.cpp cannot make the context: ${errors}`)
    this.model = model
    this.tokens = tokens
    this.texts = texts
    this.#pool = threadpool
    lib.attachThreadpool(pointer, pool.pointer, pool.pointer)
    const releases = [model.handle.hold(), pool.hold()]
    this.#handle = new Handle('the context', pointer, (context) => {
      lib.contextFree(context)
      for (const release of releases) release()
    })
  }

  /** Compute threads from the next run on, at most those of the pool. */
  setThreads(most: number): void {
    const threads = Math.min(most, this.#pool.threads)
    library().setThreads(this.#ready(), threads, threads)
  }

  /**
   * Runs whole texts, each with an id of its own as its sequence, on a worker thread.
   * @param texts how many there are
   * @returns the vector of each, `model.outputWidth` values, as the model made it
   * @throws IncipitError `batch_invalid`, `decode_failed`, `disposed`
   */
  async run(batch: Batch, texts: number): Promise<Float32Array<ArrayBuffer>[]> {
    const handle = this.#ready()
    if (batch.rows === 0 || batch.rows > this.tokens || texts > this.texts) {
      const has = `${batch.rows} tokens of ${texts} texts`
      throw new IncipitError('batch_invalid', `${has} in a context for ${this.tokens} of ${this.texts}`)
    }
    const lib = library()
    const release = this.#handle.hold()
    const releaseBatch = batch.handle.hold()
    this.#busy = true
    try {
      const memory = lib.contextMemory(handle)
      // Encoders have none.
      if (memory) lib.memoryClear(memory, false)
      const code = await decodeToEnd(handle, batch.struct, this.model)
      if (code !== 0) throw new IncipitError('decode_failed', `llama_decode returned ${code} for embeddings`)
      return Array.from({ length: texts }, (_, text) => this.#vector(handle, text))
    } finally {
      this.#busy = false
      releaseBatch()
      release()
    }
  }

  #vector(handle: Pointer, text: number): Float32Array<ArrayBuffer> {
    const pointer = library().sequenceEmbedding(handle, text)
    if (!pointer) throw new IncipitError('decode_failed', `text ${text} of the batch has no vector`)
    const vector = new Float32Array(this.model.outputWidth)
    library().copyFrom(vector, pointer, vector.byteLength)
    return vector
  }

  #ready(): Pointer {
    const pointer = this.#handle.pointer
    if (this.#busy) throw new IncipitError('batch_invalid', 'a batch is running in this context')
    return pointer
  }

  [Symbol.dispose](): void {
    this.#handle[Symbol.dispose]()
  }
}
