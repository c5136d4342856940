import koffi from 'koffi'
import { IncipitError } from '../api/errors.ts'
import { Handle } from './handle.ts'
import type { BatchStruct } from './layouts.ts'
import type { Pointer } from './library.ts'

/**
 * The rows of one decode. Its arrays live in native memory that stays put for the batch's life, so an asynchronous
 * decode never reads memory the garbage collector moved.
 */
export class Batch implements Disposable {
  readonly capacity: number
  /** Width of the states that enter, 0 for a batch of tokens. */
  readonly stateWidth: number
  /** Rows are tokens with a state each, not one of both. */
  readonly mtp: boolean
  /** Most sequences that one row may belong to. */
  readonly sequencesPerRow: number
  #rows = 0
  #outputs = 0
  /** Only for use inside `llama/`. */
  readonly handle: Handle
  readonly #struct: BatchStruct
  readonly #token: Int32Array
  readonly #state: Float32Array
  readonly #position: Int32Array
  readonly #sequenceCount: Int32Array
  readonly #sequence: Int32Array
  readonly #output: Int8Array

  /** @param options `mtp`: for a context of that kind; it needs a `stateWidth` */
  constructor(capacity: number, options: { stateWidth?: number; sequencesPerRow?: number; mtp?: boolean } = {}) {
    this.capacity = capacity
    this.stateWidth = options.stateWidth ?? 0
    this.mtp = options.mtp ?? false
    this.sequencesPerRow = options.sequencesPerRow ?? 1
    const stateBytes = 4 * capacity * this.stateWidth
    const tokenBytes = this.stateWidth === 0 || this.mtp ? 4 * capacity : 0
    // Order by alignment: pointers, 4-byte words, bytes.
    const pointers = 0
    const state = pointers + 8 * capacity
    const token = state + stateBytes
    const position = token + tokenBytes
    const count = position + 4 * capacity
    const sequence = count + 4 * capacity
    const output = sequence + 4 * capacity * this.sequencesPerRow
    const memory = koffi.alloc('uint8_t', output + capacity) as Pointer
    this.handle = new Handle('the batch', memory, koffi.free)
    const view = koffi.view(memory, output + capacity)
    this.#state = new Float32Array(view, state, capacity * this.stateWidth)
    this.#token = new Int32Array(view, token, tokenBytes / 4)
    this.#position = new Int32Array(view, position, capacity)
    this.#sequenceCount = new Int32Array(view, count, capacity)
    this.#sequence = new Int32Array(view, sequence, capacity * this.sequencesPerRow)
    this.#output = new Int8Array(view, output, capacity)
    const address = new BigUint64Array(view, pointers, capacity)
    for (let row = 0; row < capacity; row++) {
      address[row] = memory + BigInt(sequence + 4 * row * this.sequencesPerRow)
    }
    this.#struct = {
      n_tokens: 0,
      token: tokenBytes > 0 ? memory + BigInt(token) : 0n,
      embd: stateBytes > 0 ? memory + BigInt(state) : 0n,
      pos: memory + BigInt(position),
      n_seq_id: memory + BigInt(count),
      seq_id: memory + BigInt(pointers),
      logits: memory + BigInt(output),
    }
  }

  get rows(): number {
    return this.#rows
  }

  /** Rows that ask for output. */
  get outputs(): number {
    return this.#outputs
  }

  /** Every row asks for output. */
  askAll(): void {
    this.#output.fill(1, 0, this.#rows)
    this.#outputs = this.#rows
  }

  clear(): void {
    this.#writable()
    this.#rows = 0
    this.#outputs = 0
  }

  /**
   * Adds one row: a token, or in a batch of states the state that enters the stage's first layer.
   * @param state with a token in an `mtp` batch: the state after the last layer at the position before
   */
  add(
    input: number | Float32Array,
    position: number,
    sequences: readonly number[],
    output: boolean,
    state?: Float32Array,
  ): void {
    const row = this.#rows
    this.#writable()
    if (row >= this.capacity) {
      throw new IncipitError('batch_invalid', `a batch holds ${this.capacity} rows; one more was added`)
    }
    if (sequences.length === 0 || sequences.length > this.sequencesPerRow) {
      throw new IncipitError(
        'batch_invalid',
        `a row belongs to 1..${this.sequencesPerRow} sequences, not ${sequences.length}`,
      )
    }
    const token = typeof input === 'number' ? input : undefined
    const values = typeof input === 'number' ? state : input
    if ((token !== undefined) !== this.#token.length > 0 || (values !== undefined) !== this.stateWidth > 0) {
      const kind = this.mtp ? 'tokens with states' : this.stateWidth > 0 ? 'states' : 'tokens'
      throw new IncipitError('batch_invalid', `a row of another kind in a batch of ${kind}`)
    }
    if (values !== undefined && values.length !== this.stateWidth) {
      const message = `a state of ${values.length} values in a batch of width ${this.stateWidth}`
      throw new IncipitError('batch_invalid', message)
    }
    if (token !== undefined) this.#token[row] = token
    if (values !== undefined) this.#state.set(values, row * this.stateWidth)
    this.#position[row] = position
    this.#sequenceCount[row] = sequences.length
    this.#sequence.set(sequences, row * this.sequencesPerRow)
    this.#output[row] = output ? 1 : 0
    if (output) this.#outputs++
    this.#rows = row + 1
  }

  /** The native struct. Only for use inside `llama/`. */
  get struct(): BatchStruct {
    void this.handle.pointer
    this.#struct.n_tokens = this.#rows
    return this.#struct
  }

  /** Rows that a decode is reading were checked when it began: nobody may change them under it. */
  #writable(): void {
    void this.handle.pointer
    if (this.handle.held) throw new IncipitError('batch_invalid', 'the batch is being decoded')
  }

  [Symbol.dispose](): void {
    this.handle[Symbol.dispose]()
  }
}
