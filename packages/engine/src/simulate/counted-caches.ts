import type { Caches, SavedState } from '../core/kv/caches.ts'
import type { Step } from '../core/sequences/sequence.ts'

/** Rows that were copied out of a cache. */
interface SavedCount extends SavedState {
  readonly rows: number
}

/** KV caches that hold nothing, and know how much it would be. */
export class CountedCaches implements Caches {
  readonly #cellBytes: number
  /** Per slot, of stage 0: a cell's bytes are those of all stages together. */
  readonly #rows: number[]

  constructor(slots: number, cellBytes: number) {
    this.#cellBytes = cellBytes
    this.#rows = new Array<number>(slots).fill(0)
  }

  /** The rows of a step are there. */
  fill({ stage, rows }: Step): void {
    if (stage > 0) return
    for (const { slot, to, shared } of rows) {
      this.#rows[slot] = to
      for (const other of shared) this.#rows[other.slot] = other.end
    }
  }

  remove(stage: number, slot: number, from: number): void {
    if (stage === 0) this.#rows[slot] = Math.min(this.#rows[slot]!, from)
  }

  share(stage: number, _source: number, to: number, _from: number, end: number): void {
    if (stage === 0) this.#rows[to] = end
  }

  save(stage: number, slot: number): SavedCount {
    const rows = stage === 0 ? this.#rows[slot]! : 0
    return { rows, bytes: rows * this.#cellBytes }
  }

  saveCheckpoint(): SavedCount {
    throw new Error('simulated models have full attention')
  }

  restoreCheckpoint(): void {
    throw new Error('simulated models have full attention')
  }

  restore(stage: number, slot: number, state: SavedState): void {
    if (stage === 0) this.#rows[slot] = (state as SavedCount).rows
  }
}
