import type { Step } from '../core/sequences/sequence.ts'
import { Batch } from '../llama/batch.ts'
import { Context, type DecodeResult, type ScaledAdapter } from '../llama/context.ts'
import type { Model } from '../llama/model.ts'
import type { Device } from './device.ts'
import type { DraftRunner } from './draft-runner.ts'
import { HiddenStates } from './hidden-states.ts'

export interface StageOptions {
  /** Layers [from, to) of the whole model. */
  from: number
  to: number
  last: boolean
  cells: number
  slots: number
  /** See `ContextOptions`. Default true. */
  unified?: boolean
  /** See `ContextOptions`. Default 0. */
  snapshots?: number
  /** See `ContextOptions`. */
  windowAlone?: boolean
  cacheBytes?: number
  /** See `ContextOptions`. */
  flashAttention?: boolean | undefined
  batch: number
  /** Most rows with output in one step. */
  outputs: number
  /** See `ContextOptions`. Default: none. */
  adapters?: readonly ScaledAdapter[]
  /** Follows this stage, the last one. */
  drafter?: DraftRunner | undefined
}

// Most sequences that one row may belong to: a reply and its other possible continuations.
const sequencesPerRow = 8

/**
 * A run of layers with its KV cache. Takes tokens (the first stage) or the states the stage before left, and leaves
 * states for the next stage, logits for rows that ask for output, or both.
 */
export class Stage implements Disposable {
  readonly from: number
  readonly to: number
  readonly model: Model
  readonly device: Device
  readonly context: Context
  readonly #batch: Batch
  /** States that wait for the next stage, by slot. The last stage leaves none. */
  readonly #states: HiddenStates[]
  readonly #drafter: DraftRunner | undefined

  constructor(model: Model, device: Device, options: StageOptions) {
    this.model = model
    this.device = device
    this.from = options.from
    this.to = options.to
    this.context = new Context(model, {
      cells: options.cells,
      sequences: options.slots,
      ...(options.unified === undefined ? {} : { unified: options.unified }),
      snapshots: options.snapshots ?? 0,
      windowAlone: options.windowAlone ?? false,
      ...(options.cacheBytes === undefined ? {} : { cacheBytes: options.cacheBytes }),
      batch: options.batch,
      outputs: Math.min(options.batch, options.outputs),
      threadpool: device.threadpool,
      flashAttention: options.flashAttention,
      adapters: options.adapters ?? [],
      ...(options.last ? {} : { layerInput: options.to - options.from }),
      mtpStates: options.drafter?.mtp ?? false,
    })
    this.#batch = new Batch(options.batch, {
      stateWidth: options.from === 0 ? 0 : model.embedding,
      sequencesPerRow: Math.min(options.slots, sequencesPerRow),
    })
    this.#drafter = options.drafter
    this.#states = options.last ? [] : Array.from({ length: options.slots }, () => new HiddenStates(model.embedding))
  }

  /**
   * Runs the rows of a step. Afterwards `logits` can be read until the next run.
   * @param before the stage whose states enter; undefined for the first stage, which takes tokens
   */
  async run(step: Step, before: Stage | undefined): Promise<DecodeResult> {
    this.#batch.clear()
    for (const { sequence, slot, shared, from, to, output } of step.rows) {
      for (let row = from; row < to; row++) {
        const input = before === undefined ? sequence.tokens[row]! : before.statesOf(slot).row(row)
        const slots = [slot]
        for (const other of shared) if (row < other.end) slots.push(other.slot)
        this.#batch.add(input, row, slots, row >= output)
      }
    }
    return this.context.decode(this.#batch)
  }

  /** Keeps the states that a step left, as far as they are still wanted, and releases those that it took. */
  storeHiddenStates(step: Step, before: Stage | undefined): void {
    let row = 0
    // Rows of several sequences that change states run in another order, which llama.cpp leaves their own states in.
    const inOrder = !this.model.recurrent || step.rows.length === 1
    for (const { slot, shared, from, to, valid } of step.rows) {
      // Where all was rolled back, the stage before may already have computed other rows in their place.
      if (valid > from) {
        if (this.#states.length > 0) {
          this.context.layerInput(row, valid - from, this.statesOf(slot).append(from, valid))
        }
        if (this.#drafter?.mtp && inOrder) {
          for (const of of [{ slot, end: valid }, ...shared]) {
            const end = Math.min(valid, of.end)
            if (end > from) this.context.mtpStates(row, end - from, this.#drafter.feed(of.slot, from, end))
          }
        }
        if (before !== undefined) before.statesOf(slot).release(valid)
      }
      row += to - from
    }
  }

  /** States of a slot that wait for the next stage. */
  statesOf(slot: number): HiddenStates {
    const states = this.#states[slot]
    if (states === undefined) throw new RangeError(`stage ${this.from}..${this.to} keeps no states for slot ${slot}`)
    return states
  }

  /** Rolls a slot back: positions from `from` on leave the cache and the waiting states. */
  remove(slot: number, from: number): void {
    // Who believes a memory that refuses computes on with wrong rows.
    if (!this.context.sequenceRemove(slot, from)) throw new Error(`slot ${slot} cannot be cut back to ${from} rows`)
    this.#states[slot]?.truncate(from)
    if (from === 0) this.#drafter?.release(slot)
  }

  /** Lets slot `to` share, or copies to it, positions [from, end) of slot `source`. */
  share(source: number, to: number, from: number, end: number): void {
    this.context.sequenceCopy(source, to, from, end)
    if (from === 0) this.#drafter?.share(source, to)
  }

  /** Frees everything but the model. */
  releaseCache(): void {
    this.context[Symbol.dispose]()
    this.#batch[Symbol.dispose]()
  }

  [Symbol.dispose](): void {
    this.releaseCache()
    this.model[Symbol.dispose]()
  }
}
