import koffi from 'koffi'
import { IncipitError } from '../api/errors.ts'
import type { Batch } from './batch.ts'
import { requireContextMemory } from './context-memory.ts'
import { decodeToEnd } from './decode.ts'
import { Flag } from './flag.ts'
import { Handle } from './handle.ts'
import { library, type Pointer, withLog } from './library.ts'
import type { LoraAdapter } from './lora-adapter.ts'
import type { Model } from './model.ts'
import { checkedTokens, seal } from './sequence-file.ts'
import type { Threadpool } from './threadpool.ts'

export interface ContextOptions {
  /** KV cells, of all sequences together. */
  cells: number
  /**
   * One cache for all sequences, whose cells several of them may share; or one of `cells / sequences` cells for each,
   * where a row's attention never walks over the cells of others. Only the first gives states of rows (`layerInput`,
   * `mtpStates`): with the other llama.cpp computes the rows in another order, and states stay in it. Default true.
   */
  unified?: boolean
  /** Most sequences, ids 0..sequences-1. */
  sequences: number
  /** Recurrent states of so many last rows of a sequence are kept, where the architecture can do that. Default 0. */
  snapshots?: number
  /** Layers with a window keep that of each sequence and no more; rows cannot be dropped then. Default false. */
  windowAlone?: boolean
  /** Bytes of the KV cache and the states, where they are known. Default: by the header, as if all layers had all rows. */
  cacheBytes?: number
  /** Most rows of one decode. */
  batch: number
  /** Most rows of one decode that may ask for output. Default: `batch`. */
  outputs?: number
  threadpool: Threadpool
  /** Attention as one kernel. Default: where llama.cpp can. */
  flashAttention?: boolean | undefined
  /** Added to the weights, each as many times as its scale says. Default: none. */
  adapters?: readonly ScaledAdapter[]
  /** Keep the state of every row that enters this layer (`layerInput()`). */
  layerInput?: number
  /** Keep the state of every row after the last layer (`mtpStates()`), which an `mtp` context starts from. */
  mtpStates?: boolean
  /**
   * Run the model's prediction layer instead of all others: of a token and the state before it, it makes logits for the
   * token after it. Rows come in `mtp` batches.
   */
  mtp?: boolean
}

export interface ScaledAdapter {
  readonly adapter: LoraAdapter
  readonly scale: number
}

/** `aborted`: stopped by `abort()`. `full`: no free cells; nothing was computed. */
export type DecodeResult = 'done' | 'aborted' | 'full'

/** Most rows that are computed at once; a longer batch runs in several microbatches. */
export const maxMicrobatch = 512
// llama.h: LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY.
const partialOnly = 1
// llama.h: LLAMA_CONTEXT_TYPE_DEFAULT and LLAMA_CONTEXT_TYPE_MTP.
const contextTypes = { default: 0, mtp: 1 } as const

/**
 * ggml places tensors at multiples of 32 bytes. The list of output rows (4 bytes each) is one of the first of a graph: unless
 * its size is a multiple of 64, all that follow straddle cache lines, and prefill with AVX-512 takes 18% longer.
 */
function aligned(outputs: number): number {
  return Math.ceil(outputs / 16) * 16
}

/** A KV cache with the buffers to run one model (one stage) over it. Decodes must not overlap. */
export class Context implements Disposable {
  readonly model: Model
  readonly cells: number
  readonly sequences: number
  readonly unified: boolean
  /** Last rows of a sequence's last decode that can be removed although its state is recurrent. */
  readonly snapshots: number
  readonly batchSize: number
  readonly layer: number | undefined
  readonly #mtp: boolean
  readonly #mtpStates: boolean
  readonly #outputs: number
  readonly #handle: Handle
  readonly #pool: Threadpool
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
    const mtp = options.mtp ?? false
    const estimate = (options.cells * model.cellBytes) / (mtp ? model.layers : 1)
    requireContextMemory({ cells: options.cells, cache: options.cacheBytes ?? estimate }, model.offload, {
      available: process.availableMemory(),
      devices: lib.backEnds.devices(),
    })
    if (options.layerInput !== undefined && !(options.layerInput >= 0 && options.layerInput < model.layers)) {
      throw new IncipitError('batch_invalid', `${model.path} has no layer ${options.layerInput}`)
    }
    const states = options.layerInput !== undefined || options.mtpStates || options.mtp
    if (options.unified === false && options.sequences > 1 && states) {
      throw new IncipitError('batch_invalid', 'a context with a cache for every sequence gives no states of rows')
    }
    // llama.cpp reserves an output per sequence in any case, and ends the process when that is more than it may.
    const wanted = model.outputsWhole ? options.batch : (options.outputs ?? options.batch)
    const outputs = Math.max(wanted, options.sequences)
    const weights = model.handle.pointer
    const params = {
      ...lib.contextDefaultParams(),
      n_ctx: options.cells,
      ctx_type: mtp ? contextTypes.mtp : contextTypes.default,
      n_batch: options.batch,
      n_ubatch: Math.min(options.batch, maxMicrobatch),
      n_seq_max: options.sequences,
      n_rs_seq: options.snapshots ?? 0,
      n_outputs_max: aligned(outputs),
      n_outputs_max_per_seq: 0,
      n_threads: options.threadpool.threads,
      n_threads_batch: options.threadpool.threads,
      // llama.h: LLAMA_FLASH_ATTN_TYPE_DISABLED and LLAMA_FLASH_ATTN_TYPE_ENABLED.
      ...(options.flashAttention !== undefined && { flash_attn_type: Number(options.flashAttention) }),
      embeddings: false,
      no_perf: true,
      // Forks and rollbacks need every position of the window.
      swa_full: !options.windowAlone,
      kv_unified: options.unified ?? true,
    }
    const { result: pointer, errors } = withLog(() => lib.contextInit(weights, params))
    if (!pointer) {
      throw new IncipitError('context_memory', `llama.cpp cannot make the context: ${errors}`)
    }
    this.model = model
    this.#memory = lib.contextMemory(pointer)
    this.cells = lib.contextCells(pointer)
    this.snapshots = lib.contextSnapshots(pointer)
    this.sequences = options.sequences
    this.unified = options.unified ?? true
    this.batchSize = options.batch
    this.layer = options.layerInput
    this.#outputs = outputs
    this.#pool = options.threadpool
    this.#threads = options.threadpool.threads
    lib.attachThreadpool(pointer, pool.pointer, pool.pointer)
    if (this.layer !== undefined) lib.setLayerInput(pointer, this.layer, true)
    this.#mtp = mtp
    this.#mtpStates = options.mtpStates ?? mtp
    // Of all rows: llama.cpp mixes rows up where an mtp context keeps those with output only and others have none.
    if (this.#mtpStates) lib.setMtpStates(pointer, true, false)
    const abort = new Flag(false)
    this.#abort = abort
    lib.setAbortCallback(pointer, abort.callback, abort.data)
    const { adapters = [] } = options
    if (adapters.length > 0) {
      const pointers = BigUint64Array.from(adapters, ({ adapter }) => adapter.handle.pointer)
      lib.setAdapters(
        pointer,
        pointers,
        adapters.length,
        Float32Array.from(adapters, ({ scale }) => scale),
      )
    }
    const releases = [model.handle, pool, ...adapters.map(({ adapter }) => adapter.handle)].map((used) => used.hold())
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
    if (this.model.outputsWhole) batch.askAll()
    // llama.cpp ends the process when more rows ask for output than it reserved; with states on, every row does.
    const outputs = this.#states ? batch.rows : batch.outputs
    if (outputs > this.#outputs) {
      throw new IncipitError('batch_invalid', `${outputs} rows with output in a context for ${this.#outputs}`)
    }
    // llama.cpp would read states that are not there.
    if (batch.mtp !== this.#mtp) throw new IncipitError('batch_invalid', 'a batch for another kind of context')
    if (batch.stateWidth !== 0 && batch.stateWidth !== this.model.embedding) {
      throw new IncipitError(
        'batch_invalid',
        `states of ${batch.stateWidth} values for a model of width ${this.model.embedding}`,
      )
    }
    const release = batch.handle.hold()
    this.#rows = 0
    this.#abort.set(false)
    let code: number
    let reason = ''
    try {
      code = await this.#abort.stopping(true, () =>
        this.#whileBusy(() => decodeToEnd(handle, batch.struct, this.model)),
      )
      // Invalid rows: found at once, before anything is computed.
      if (code === -1 && !this.disposed) {
        ;({ result: code, errors: reason } = withLog(() => library().decode(handle, batch.struct)))
      }
    } finally {
      release()
    }
    if (code === 0) {
      this.#rows = batch.rows
      return 'done'
    }
    if (code === 1) return 'full'
    if (code === 2) return 'aborted'
    throw new IncipitError('decode_failed', `llama_decode returned ${code}${reason && `: ${reason}`}`)
  }

  get disposed(): boolean {
    return this.#handle.disposed
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
  setThreads(wanted: number): void {
    const threads = Math.min(wanted, this.#pool.threads)
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
    const { layer } = this
    if (layer === undefined) throw new IncipitError('batch_invalid', 'this context does not keep a layer input')
    return this.#copyRows((handle) => library().layerInput(handle, layer), from, count, target)
  }

  /**
   * Copies the states after the last layer, rows `from..from+count-1` of the last decode. Needs `options.mtpStates`, or
   * an `mtp` context, where the next row starts from them.
   */
  mtpStates(from: number, count: number, target: Float32Array): Float32Array {
    if (!this.#mtpStates) throw new IncipitError('batch_invalid', 'this context does not keep states for mtp')
    return this.#copyRows((handle) => library().mtpStates(handle), from, count, target)
  }

  /** Removes positions [from, to) of a sequence; `to` = -1 means to the end. False when the memory refuses. */
  sequenceRemove(sequence: number, from: number, to = -1): boolean {
    this.#check(sequence)
    return library().sequenceRemove(this.#memory, sequence, from, to)
  }

  /**
   * Positions [from, to) of `source` become positions of `target`, too: the same cells in a unified cache, copies (from
   * 0 on only) in separate ones. Of a memory with recurrent states all is copied, from 0 on: a state has no parts, and some
   * memories end the process when they are asked for any.
   */
  sequenceCopy(source: number, target: number, from: number, to: number): void {
    this.#check(source, target)
    if (this.unified && this.model.recurrent) library().sequenceCopy(this.#memory, source, target, -1, -1)
    else if (this.unified) library().sequenceCopy(this.#memory, source, target, from, to)
    else {
      if (from !== 0) throw new RangeError('separate caches copy a sequence from its beginning on')
      this.setSequenceState(target, this.sequenceState(source))
      this.sequenceRemove(target, to)
    }
  }

  /** A copy of all rows a sequence holds, to be given back to a context of the same model and shape. */
  sequenceState(sequence: number): Uint8Array {
    this.#check(sequence)
    const handle = this.#ready()
    const state = new Uint8Array(library().sequenceStateSize(handle, sequence))
    library().sequenceState(handle, state, state.length, sequence)
    return state
  }

  /**
   * Puts rows that `sequenceState` gave into a sequence, in place of those it holds.
   * @throws IncipitError `decode_failed` when they do not fit into the cache
   */
  setSequenceState(sequence: number, state: Uint8Array): void {
    this.#check(sequence)
    const read = library().setSequenceState(this.#ready(), state, state.length, sequence)
    if (read !== state.length) throw new IncipitError('decode_failed', 'rows that were kept do not fit into the cache')
  }

  /**
   * A copy of what of a sequence's memory rows cannot be dropped from one by one: recurrent states, windows.
   * @param over is overwritten where it has the size: memory that is new to the process takes several times as long
   */
  checkpoint(sequence: number, over?: Uint8Array): Uint8Array {
    this.#check(sequence)
    const handle = this.#ready()
    const bytes = library().stateSizeExt(handle, sequence, partialOnly)
    const state = over?.length === bytes ? over : new Uint8Array(bytes)
    library().stateExt(handle, state, state.length, sequence, partialOnly)
    return state
  }

  /**
   * Goes back to a checkpoint of this sequence, or of one whose rows it shares.
   * @param rows before it, all of which the sequence holds
   * @throws IncipitError `decode_failed` when the memory does not take it
   */
  restoreCheckpoint(sequence: number, state: Uint8Array, rows: number): void {
    this.#check(sequence)
    const read = library().setStateExt(this.#ready(), state, state.length, sequence, partialOnly)
    if (read !== state.length || !this.sequenceRemove(sequence, rows)) {
      throw new IncipitError('decode_failed', `the memory cannot be brought back to a text of ${rows} tokens`)
    }
  }

  /** First and last position a sequence holds in the cache, or undefined when it holds none. */
  positions(sequence: number): { first: number; last: number } | undefined {
    this.#check(sequence)
    const first = library().sequenceMin(this.#memory, sequence)
    if (first < 0) return undefined
    return { first, last: library().sequenceMax(this.#memory, sequence) }
  }

  /**
   * Writes the rows of a sequence to a file, which should be new, on a worker thread. As during a decode nothing else may
   * use the context meanwhile.
   * @param tokens what the sequence holds
   * @throws IncipitError `prefix_invalid` when it cannot be written
   */
  async saveSequence(sequence: number, path: string, tokens: readonly number[]): Promise<void> {
    const held = this.positions(sequence)
    if (held?.last !== tokens.length - 1) {
      throw new IncipitError('batch_invalid', `sequence ${sequence} does not hold ${tokens.length} tokens`)
    }
    const save = library().sequenceSave
    const written = await this.#withTokens(tokens, (memory, handle) =>
      this.#onThread<number | bigint>((done) => save.async(handle, path, sequence, memory, tokens.length, done)),
    )
    if (!written) throw new IncipitError('prefix_invalid', `${path} cannot be written`)
    await seal(path)
  }

  /**
   * Reads the rows of a sequence from a file that `saveSequence` wrote, on a worker thread; whatever the sequence held is
   * gone. That the file belongs to this model is the caller's business, as far as its layers have the same shape.
   * @returns its tokens, or undefined when the cache has no room for them
   * @throws IncipitError `prefix_invalid` when the file is damaged, or of another kind of model; the sequence is empty then
   */
  async restoreSequence(sequence: number, path: string): Promise<number[] | undefined> {
    this.sequenceRemove(sequence, 0)
    const tokens = await checkedTokens(path)
    const load = library().sequenceLoad
    const failure = await this.#withTokens(tokens, async (memory, handle, count) => {
      const read = await this.#onThread<number | bigint>((done) =>
        load.async(handle, path, sequence, memory, tokens.length, count, done),
      )
      if (read || this.disposed) return undefined
      // Again on this thread, to learn the reason.
      const again = withLog(() => load(handle, path, sequence, memory, tokens.length, count))
      return again.result ? undefined : again.errors
    })
    if (failure === undefined) {
      const held = this.positions(sequence)
      if (held?.last === tokens.length - 1) return tokens
    }
    this.sequenceRemove(sequence, 0)
    if (failure?.includes('available cells')) return undefined
    throw new IncipitError('prefix_invalid', `${path} does not fit this model: ${failure ?? 'rows are missing'}`)
  }

  /** Runs a call with native memory that holds tokens, and 8 bytes more. */
  async #withTokens<T>(
    tokens: readonly number[],
    call: (memory: Pointer, handle: Pointer, extra: Pointer) => Promise<T>,
  ): Promise<T> {
    const handle = this.#ready()
    const bytes = 8 + 4 * tokens.length
    const extra = koffi.alloc('uint8_t', bytes) as Pointer
    try {
      new Int32Array(koffi.view(extra, bytes), 8).set(tokens)
      return await call(extra + 8n, handle, extra)
    } finally {
      koffi.free(extra)
    }
  }

  /** Runs a native call on a worker thread while nobody else may use the context. */
  async #onThread<T>(call: (done: (error: Error | null, result: T) => void) => void): Promise<T> {
    return this.#whileBusy(
      () => new Promise<T>((resolve, reject) => call((error, result) => (error ? reject(error) : resolve(result)))),
    )
  }

  async #whileBusy<T>(work: () => Promise<T>): Promise<T> {
    const release = this.#handle.hold()
    this.#busy = true
    try {
      return await work()
    } finally {
      this.#busy = false
      release()
    }
  }

  #copyRows(source: (context: Pointer) => Pointer, from: number, count: number, target: Float32Array): Float32Array {
    const width = this.model.embedding
    const handle = this.#ready()
    if (!(from >= 0 && count >= 0 && from + count <= this.#rows)) {
      throw new IncipitError('batch_invalid', `rows ${from}..${from + count} of a decode of ${this.#rows}`)
    }
    if (target.length < count * width) {
      throw new IncipitError('batch_invalid', `${count} states of ${width} values do not fit into ${target.length}`)
    }
    library().copyFrom(target, source(handle) + BigInt(4 * width * from), 4 * width * count)
    return target
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
