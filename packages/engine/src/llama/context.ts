import { IncipitError } from '../errors.ts'
import type { Batch } from './batch.ts'
import { Flag } from './flag.ts'
import { Handle } from './handle.ts'
import { library, type Pointer, withLog } from './library.ts'
import type { Model } from './model.ts'
import type { Threadpool } from './threadpool.ts'

export interface ContextOptions {
  /** KV cells, shared by all sequences. */
  cells: number
  /** Most sequences, ids 0..sequences-1. */
  sequences: number
  /** Most rows of one decode. */
  batch: number
  /** Most rows that are computed at once; a longer batch runs in several passes. Default: min(batch, 512). */
  microBatch?: number
  /** Most rows of one decode that may ask for output. Default: `batch`. */
  outputs?: number
  threadpool: Threadpool
  /** Keep the state of every row that enters this layer (`layerInput()`). */
  layerInput?: number
}

/** `aborted`: stopped by `abort()`. `full`: no free cells; nothing was computed. */
export type DecodeResult = 'done' | 'aborted' | 'full'

// Compute buffers of a context beside its KV cache: logits of a micro batch and scratch; a generous guess.
const scratchBytes = 256 * 2 ** 20

/** A KV cache with the buffers to run one model (one stage) over it. Decodes must not overlap. */
export class Context implements Disposable {
  readonly model: Model
  readonly cells: number
  readonly sequences: number
  readonly batchSize: number
  readonly layer: number | undefined
  readonly #outputs: number
  readonly #handle: Handle
  readonly #memory: Pointer
  readonly #abort: Flag
  #busy = false
  #states = false
  #threads: number
  /** Rows of the last decode, 0 when it was not done. */
  #rows = 0

  /** @throws IncipitError `context_memory` when the cache does not fit into available memory. */
  constructor(model: Model, options: ContextOptions) {
    const lib = library()
    const pool = options.threadpool.handle
    // Asked before anything is made: a disposed one is an error.
    void pool.pointer
    const needed = options.cells * model.cellBytes + scratchBytes
    const available = process.availableMemory()
    if (needed > available) {
      const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`
      throw new IncipitError(
        'context_memory',
        `a context of ${options.cells} tokens needs ${gigabytes(needed)}, but ${gigabytes(available)} are available; ` +
          'ask for a smaller context',
      )
    }
    if (options.layerInput !== undefined && !(options.layerInput >= 0 && options.layerInput < model.layers)) {
      throw new IncipitError('batch_invalid', `${model.path} has no layer ${options.layerInput}`)
    }
    // llama.cpp reserves an output per sequence in any case, and ends the process when that is more than it may.
    const outputs = Math.max(options.outputs ?? options.batch, options.sequences)
    const microBatch = options.microBatch ?? Math.min(options.batch, 512)
    const weights = model.handle.pointer
    const params = {
      ...lib.contextDefaultParams(),
      n_ctx: options.cells,
      n_batch: options.batch,
      n_ubatch: microBatch,
      n_seq_max: options.sequences,
      n_outputs_max: outputs,
      n_outputs_max_per_seq: 0,
      n_threads: options.threadpool.threads,
      n_threads_batch: options.threadpool.threads,
      embeddings: false,
      no_perf: true,
      // Forks and rollbacks need every position of the window, and one unified cache lets forks share cells.
      swa_full: true,
      kv_unified: true,
    }
    const { result: pointer, errors } = withLog(() => lib.contextInit(weights, params))
    if (!pointer) {
      throw new IncipitError('context_memory', `llama.cpp cannot make the context: ${errors}`)
    }
    this.model = model
    this.#memory = lib.contextMemory(pointer)
    this.cells = lib.contextCells(pointer)
    this.sequences = options.sequences
    this.batchSize = options.batch
    this.layer = options.layerInput
    this.#outputs = outputs
    this.#threads = options.threadpool.threads
    lib.attachThreadpool(pointer, pool.pointer, pool.pointer)
    if (this.layer !== undefined) lib.setLayerInput(pointer, this.layer, true)
    const abort = new Flag(false)
    this.#abort = abort
    lib.setAbortCallback(pointer, abort.callback, abort.data)
    const releases = [model.handle.hold(), pool.hold()]
    this.#handle = new Handle('the context', pointer, (context) => {
      lib.contextFree(context)
      abort.free()
      for (const release of releases) release()
    })
  }

  /**
   * Runs the batch on a worker thread. On `aborted` some cells of the batch may remain: the caller removes them with
   * `sequenceRemove`, since only it knows which rows were new.
   * @throws IncipitError `batch_invalid`, `decode_failed`, `disposed`
   */
  async decode(batch: Batch): Promise<DecodeResult> {
    const handle = this.#ready()
    if (batch.rows === 0) throw new IncipitError('batch_invalid', 'an empty batch')
    if (batch.rows > this.batchSize) {
      throw new IncipitError('batch_invalid', `${batch.rows} rows in a context whose batch size is ${this.batchSize}`)
    }
    // llama.cpp ends the process when more rows ask for output than it reserved; with states on, every row does.
    const outputs = this.#states ? batch.rows : batch.outputs
    if (outputs > this.#outputs) {
      throw new IncipitError('batch_invalid', `${outputs} rows with output in a context for ${this.#outputs}`)
    }
    if (batch.stateWidth !== 0 && batch.stateWidth !== this.model.embedding) {
      throw new IncipitError(
        'batch_invalid',
        `states of ${batch.stateWidth} values for a model of width ${this.model.embedding}`,
      )
    }
    const releases = [batch.handle.hold(), this.#handle.hold()]
    this.#busy = true
    this.#rows = 0
    this.#abort.set(false)
    let code: number
    let reason = ''
    try {
      code = await this.#abort.stopping(
        true,
        () =>
          new Promise<number>((resolve, reject) =>
            library().decode.async(handle, batch.struct, (error, result) => (error ? reject(error) : resolve(result))),
          ),
      )
      // Invalid rows: found at once, before anything is computed.
      if (code === -1) ({ result: code, errors: reason } = withLog(() => library().decode(handle, batch.struct)))
    } finally {
      this.#busy = false
      for (const release of releases) release()
    }
    if (code === 0) {
      this.#rows = batch.rows
      return 'done'
    }
    if (code === 1) return 'full'
    if (code === 2) return 'aborted'
    throw new IncipitError('decode_failed', `llama_decode returned ${code}${reason && `: ${reason}`}`)
  }

  /** Stops the decode that is running, within milliseconds on a CPU. Without one it does nothing. */
  abort(): void {
    if (this.#busy) this.#abort.set(true)
  }

  /** Copies the logits of an output row of the last decode into `target` (vocabulary size). */
  logits(row: number, target: Float32Array): Float32Array {
    return this.#copy(library().logits, row, target, this.model.vocab.size)
  }

  /** Compute threads from the next decode on, at most those of the pool. */
  setThreads(threads: number): void {
    if (threads === this.#threads) return
    library().setThreads(this.#ready(), threads, threads)
    this.#threads = threads
  }

  /** From now on every row gives output, and its final normalised state can be read by `state()`. */
  keepStates(value: boolean): void {
    library().setEmbeddings(this.#ready(), value)
    this.#states = value
  }

  /** Copies the final normalised state of a row into `target` (n_embd). Needs `keepStates(true)`. */
  state(row: number, target: Float32Array): Float32Array {
    return this.#copy(library().embeddings, row, target, this.model.embedding)
  }

  /** Copies the states that entered layer `options.layerInput`, rows `from..from+count-1` of the last decode. */
  layerInput(from: number, count: number, target: Float32Array): Float32Array {
    if (this.layer === undefined) throw new IncipitError('batch_invalid', 'this context does not keep a layer input')
    const width = this.model.embedding
    const handle = this.#ready()
    if (!(from >= 0 && count >= 0 && from + count <= this.#rows)) {
      throw new IncipitError('batch_invalid', `rows ${from}..${from + count} of a decode of ${this.#rows}`)
    }
    if (target.length < count * width) {
      throw new IncipitError('batch_invalid', `${count} states of ${width} values do not fit into ${target.length}`)
    }
    const pointer = library().layerInput(handle, this.layer)
    library().copyFrom(target, pointer + BigInt(4 * width * from), 4 * width * count)
    return target
  }

  /** Removes positions [from, to) of a sequence; `to` = -1 means to the end. */
  sequenceRemove(sequence: number, from: number, to = -1): boolean {
    this.#check(sequence)
    return library().sequenceRemove(this.#memory, sequence, from, to)
  }

  /** Lets `target` share the cells of `source` in positions [from, to). */
  sequenceCopy(source: number, target: number, from: number, to: number): void {
    this.#check(source, target)
    library().sequenceCopy(this.#memory, source, target, from, to)
  }

  /** First and last position a sequence holds in the cache, or undefined when it holds none. */
  positions(sequence: number): { first: number; last: number } | undefined {
    this.#check(sequence)
    const first = library().sequenceMin(this.#memory, sequence)
    if (first < 0) return undefined
    return { first, last: library().sequenceMax(this.#memory, sequence) }
  }

  #copy(
    source: (context: Pointer, row: number) => Pointer,
    row: number,
    target: Float32Array,
    width: number,
  ): Float32Array {
    const handle = this.#ready()
    if (target.length !== width) {
      throw new IncipitError('batch_invalid', `an output row has ${width} values, not ${target.length}`)
    }
    const pointer = row >= 0 && row < this.#rows ? source(handle, row) : 0n
    if (!pointer) throw new IncipitError('batch_invalid', `row ${row} of the last decode has no output`)
    library().copyFrom(target, pointer, target.byteLength)
    return target
  }

  /** The cache and the outputs belong to the compute threads while a decode runs. */
  #ready(): Pointer {
    const pointer = this.#handle.pointer
    if (this.#busy) throw new IncipitError('batch_invalid', 'a decode is running in this context')
    return pointer
  }

  #check(...sequences: number[]): void {
    this.#ready()
    for (const sequence of sequences) {
      // llama.cpp ends the process for an id it has no room for.
      if (!Number.isInteger(sequence) || sequence < 0 || sequence >= this.sequences) {
        throw new IncipitError('batch_invalid', `sequence ${sequence} in a context of ${this.sequences} sequences`)
      }
    }
  }

  /** Frees the context; a decode that is running is aborted and the memory freed when it returns. */
  [Symbol.dispose](): void {
    this.abort()
    this.#handle[Symbol.dispose]()
  }
}
