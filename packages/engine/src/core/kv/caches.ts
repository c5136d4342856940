/** Rows of a slot in one stage, copied out of its cache; only the caches know what is in it. */
export interface SavedState {
  readonly bytes: number
}

/** The KV caches as the core sees them: one per stage. */
export interface Caches {
  /** Drops positions [from, end) of a slot in one stage. */
  remove(stage: number, slot: number, from: number): void
  /** Lets slot `to` share positions [from, end) of slot `source` in one stage; it holds those before already. */
  share(stage: number, source: number, to: number, from: number, end: number): void
  /** A copy of the rows of a slot in one stage. */
  save(stage: number, slot: number): SavedState
  /** Puts rows that were saved into an empty slot of the same stage. */
  restore(stage: number, slot: number, state: SavedState): void
  /**
   * A copy of what of a slot's memory cannot be given up row by row, as it is behind the last row.
   * @param over a checkpoint that nobody wants any more, whose memory may be used again
   */
  saveCheckpoint(stage: number, slot: number, over?: SavedState): SavedState
  /** Goes back to a checkpoint with so many rows before it, which the slot holds: later ones leave. */
  restoreCheckpoint(stage: number, slot: number, state: SavedState, rows: number): void
}
