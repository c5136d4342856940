import koffi from 'koffi'
import { IncipitError } from '../errors.ts'
import type { Batch } from './batch.ts'
import { library, type Pointer, takeNativeErrors } from './library.ts'
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
  #handle: Pointer
  readonly #memory: Pointer
  readonly #abortText: Pointer
  readonly #abortFlag: Uint8Array
  #busy = false
  #states = false
  #disposing = false

  /** @throws IncipitError `context_memory` when the cache does not fit into available memory. */
  constructor(model: Model, options: ContextOptions) {
    const lib = library()
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
    takeNativeErrors()
    const microBatch = options.microBatch ?? Math.min(options.batch, 512)
    const handle = lib.contextInit(model.handle, {
      ...lib.contextDefaultParams(),
      n_ctx: options.cells,
      n_batch: options.batch,
      n_ubatch: microBatch,
      n_seq_max: options.sequences,
      n_outputs_max: options.outputs ?? options.batch,
      n_outputs_max_per_seq: 0,
      n_threads: options.threadpool.threads,
      n_threads_batch: options.threadpool.threads,
      embeddings: false,
      no_perf: true,
      // Forks and rollbacks need every position of the window, and one unified cache lets forks share cells.
      swa_full: true,
      kv_unified: true,
    })
    if (!handle) {
      throw new IncipitError('context_memory', `llama.cpp cannot make the context: ${takeNativeErrors()}`)
    }
    this.model = model
    this.#handle = handle
    this.#memory = lib.contextMemory(handle)
    this.cells = lib.contextCells(handle)
    this.sequences = options.sequences
    this.batchSize = options.batch
    this.layer = options.layerInput
    this.#outputs = options.outputs ?? options.batch
    lib.attachThreadpool(handle, options.threadpool.handle, options.threadpool.handle)
    if (this.layer !== undefined) lib.setLayerInput(handle, this.layer, true)
    // The abort callback is libc's strlen over two bytes of ours: it returns non-zero, "abort", as soon as the first byte
    // is set. No JavaScript runs on a compute thread.
    this.#abortText = koffi.alloc('uint8_t', 2) as Pointer
    this.#abortFlag = new Uint8Array(koffi.view(this.#abortText, 2))
    this.#abortFlag.fill(0)
    lib.setAbortCallback(handle, lib.strlen, this.#abortText)
  }

  /**
   * Runs the batch on a worker thread. On `aborted` some cells of the batch may remain: the caller removes them with
   * `sequenceRemove`, since only it knows which rows were new.
   * @throws IncipitError `batch_invalid`, `decode_failed`, `disposed`
   */
  async decode(batch: Batch): Promise<DecodeResult> {
    const handle = this.#live()
    if (this.#busy) throw new IncipitError('batch_invalid', 'a context runs one decode at a time')
    if (batch.rows === 0) throw new IncipitError('batch_invalid', 'an empty batch')
    if (batch.rows > this.batchSize) {
      throw new IncipitError('batch_invalid', `${batch.rows} rows in a context whose batch size is ${this.batchSize}`)
    }
    // llama.cpp ends the process when more rows ask for output than it reserved; with states on, every row does.
    const outputs = this.#states ? batch.rows : batch.outputs
    if (outputs > this.#outputs) {
      throw new IncipitError('batch_invalid', `${outputs} rows with output in a context for ${this.#outputs}`)
    }
    this.#busy = true
    this.#abortFlag[0] = 0
    let code: number
    try {
      code = await new Promise<number>((resolve, reject) =>
        library().decode.async(handle, batch.struct, (error, result) => (error ? reject(error) : resolve(result))),
      )
    } finally {
      this.#busy = false
      if (this.#disposing) this.#free()
    }
    if (code === 0) return 'done'
    if (code === 1) return 'full'
    if (code === 2) return 'aborted'
    throw new IncipitError('decode_failed', `llama_decode returned ${code}: ${takeNativeErrors()}`)
  }

  /** Stops the decode that is running, within milliseconds on a CPU. Without one it does nothing. */
  abort(): void {
    if (this.#busy) this.#abortFlag[0] = 1
  }

  /** Copies the logits of an output row of the last decode into `target` (vocabulary size). */
  logits(row: number, target: Float32Array): Float32Array {
    return this.#copy(library().logits(this.#live(), row), target, row)
  }

  /** From now on every row gives output, and its final normalised state can be read by `state()`. */
  keepStates(value: boolean): void {
    library().setEmbeddings(this.#live(), value)
    this.#states = value
  }

  /** Copies the final normalised state of a row into `target` (n_embd). Needs `keepStates(true)`. */
  state(row: number, target: Float32Array): Float32Array {
    return this.#copy(library().embeddings(this.#live(), row), target, row)
  }

  /** Copies the states that entered layer `options.layerInput`, rows `from..from+count-1` of the last decode. */
  layerInput(from: number, count: number, target: Float32Array): Float32Array {
    if (this.layer === undefined) throw new IncipitError('batch_invalid', 'this context does not keep a layer input')
    const width = this.model.embedding
    const pointer = library().layerInput(this.#live(), this.layer)
    library().copyFrom(target, pointer + BigInt(4 * width * from), 4 * width * count)
    return target
  }

  /** Removes positions [from, to) of a sequence; `to` = -1 means to the end. */
  sequenceRemove(sequence: number, from: number, to = -1): boolean {
    this.#live()
    return library().sequenceRemove(this.#memory, sequence, from, to)
  }

  /** Lets `target` share the cells of `source` in positions [from, to). */
  sequenceCopy(source: number, target: number, from: number, to: number): void {
    this.#live()
    library().sequenceCopy(this.#memory, source, target, from, to)
  }

  /** First and last position a sequence holds in the cache, or undefined when it holds none. */
  positions(sequence: number): { first: number; last: number } | undefined {
    this.#live()
    const first = library().sequenceMin(this.#memory, sequence)
    if (first < 0) return undefined
    return { first, last: library().sequenceMax(this.#memory, sequence) }
  }

  #copy(pointer: Pointer, target: Float32Array, row: number): Float32Array {
    if (!pointer) throw new IncipitError('batch_invalid', `row ${row} of the last decode has no output`)
    library().copyFrom(target, pointer, target.byteLength)
    return target
  }

  #live(): Pointer {
    if (this.#handle === 0n || this.#disposing) throw new IncipitError('disposed', 'the context was disposed')
    return this.#handle
  }

  #free(): void {
    library().contextFree(this.#handle)
    koffi.free(this.#abortText)
    this.#handle = 0n
  }

  /** Frees the context; a decode that is running is aborted and the memory freed when it returns. */
  [Symbol.dispose](): void {
    if (this.#handle === 0n || this.#disposing) return
    if (this.#busy) {
      this.abort()
      this.#disposing = true
    } else this.#free()
  }
}
