import type { Step } from '../flow/sequence.ts'
import { Batch } from '../llama/batch.ts'
import { Context, type DecodeResult } from '../llama/context.ts'
import type { Model } from '../llama/model.ts'
import type { Threadpool } from '../llama/threadpool.ts'
import { States } from './states.ts'

export interface StageOptions {
  /** Layers [from, to) of the whole model. */
  from: number
  to: number
  last: boolean
  cells: number
  slots: number
  batch: number
  /** Most rows with output in one step. */
  outputs: number
  threadpool: Threadpool
}

/**
 * A run of layers with its KV cache. Takes tokens (the first stage) or the states the stage before left, and leaves
 * states for the next stage, logits for rows that ask for output, or both.
 */
export class Stage implements Disposable {
  readonly from: number
  readonly to: number
  readonly model: Model
  readonly context: Context
  readonly #batch: Batch
  /** States that wait for the next stage, by slot. The last stage leaves none. */
  readonly #states: States[]

  constructor(model: Model, options: StageOptions) {
    this.model = model
    this.from = options.from
    this.to = options.to
    this.context = new Context(model, {
      cells: options.cells,
      sequences: options.slots,
      batch: options.batch,
      outputs: Math.min(options.batch, options.outputs),
      threadpool: options.threadpool,
      ...(options.last ? {} : { layerInput: options.to - options.from }),
    })
    this.#batch = new Batch(options.batch, { stateWidth: options.from === 0 ? 0 : model.embedding })
    this.#states = options.last ? [] : Array.from({ length: options.slots }, () => new States(model.embedding))
  }

  /**
   * Runs the rows of a step. Afterwards `logits` can be read until the next run.
   * @param before the stage whose states enter; undefined for the first stage, which takes tokens
   */
  async run(step: Step, before: Stage | undefined): Promise<DecodeResult> {
    this.#batch.clear()
    for (const { sequence, from, to, output } of step.rows) {
      for (let row = from; row < to; row++) {
        const input = before === undefined ? sequence.tokens[row]! : before.statesOf(sequence.slot).row(row)
        this.#batch.add(input, row, [sequence.slot], row >= output)
      }
    }
    const result = await this.context.decode(this.#batch)
    if (result === 'done') {
      this.#keepStates(step)
      if (before !== undefined) for (const { sequence, to } of step.rows) before.statesOf(sequence.slot).release(to)
    }
    return result
  }

  #keepStates(step: Step): void {
    if (this.#states.length === 0) return
    let row = 0
    for (const { sequence, from, to } of step.rows) {
      this.context.layerInput(row, to - from, this.statesOf(sequence.slot).append(from, to))
      row += to - from
    }
  }

  /** States of a slot that wait for the next stage. */
  statesOf(slot: number): States {
    const states = this.#states[slot]
    if (states === undefined) throw new RangeError(`stage ${this.from}..${this.to} keeps no states for slot ${slot}`)
    return states
  }

  /** Rolls a slot back: positions from `from` on leave the cache and the waiting states. */
  remove(slot: number, from: number): void {
    this.context.sequenceRemove(slot, from)
    this.#states[slot]?.truncate(from)
  }

  [Symbol.dispose](): void {
    this.context[Symbol.dispose]()
    this.#batch[Symbol.dispose]()
    this.model[Symbol.dispose]()
  }
}
