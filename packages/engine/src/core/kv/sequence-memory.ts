/**
 * What the memory of a sequence can do: the KV cache of a transformer, the state of a recurrent model, or both. Everything
 * that shares, keeps or gives rows back asks here, and not for the architecture.
 *
 * Where a text cannot be gone back to row by row, it is gone back to at a checkpoint (`Checkpoint`), and what lies between
 * is computed again.
 */
export interface SequenceMemory {
  /**
   * Rows at its end can be given up, the others staying, and another sequence can go on behind any of them. Otherwise all of
   * them, or those behind a checkpoint; and another one goes on behind the last one, or at a checkpoint.
   */
  readonly dropsRows: boolean
  /** Some or all layers keep a state that every row changes. */
  readonly recurrent: boolean
  /** Where they cannot: so many rows at the end of the last step can still be given up, once, but not all of the step. */
  readonly snapshots: number
  /** Its rows can be copied out of the cache, and back into any slot. */
  readonly copies: boolean
  /** Where a copy that came back can be gone on from: behind any row, or behind its last one and at checkpoints. */
  readonly copyForks: 'anywhere' | 'at checkpoints'
  /** Positions that layers with a window look back; 0: all layers see everything. */
  readonly window: number
  /** Sequences share cells for the rows they share; otherwise each has a cache of its own, and shared rows are copied. */
  readonly sharesCells: boolean
}

/** Guesses can be verified anywhere, also behind a prompt that is still being computed: what was wrong can be given up. */
export function canSpeculate(memory: SequenceMemory): boolean {
  return longestDraft(memory) > 0
}

/** Most guesses that can be verified in a step, anywhere. */
export function longestDraft({ dropsRows, snapshots }: SequenceMemory): number {
  return dropsRows ? Number.POSITIVE_INFINITY : snapshots
}

/**
 * Guesses can be verified while a reply goes on, although nothing of a step can be given up: a checkpoint is taken before
 * them, and after a wrong one what was right runs again.
 */
export function verifiesFromCheckpoints(memory: SequenceMemory): boolean {
  return memory.copies && !canSpeculate(memory)
}

/** Rows of requests that are over can be kept outside the cache for others. */
export function canKeepRows({ copies }: SequenceMemory): boolean {
  return copies
}

/**
 * Rows of several sequences in a step run in microbatches: those of each in a cache of its own, and rows that change states
 * as many of each sequence at a time as all of them have.
 */
export function runsInMicrobatches({ sharesCells, recurrent }: SequenceMemory): boolean {
  return !sharesCells || recurrent
}

/** Layers with a window keep that and no more. */
export function hasWindowAlone({ window, dropsRows, recurrent }: SequenceMemory): boolean {
  return window > 0 && !dropsRows && !recurrent
}

/** There are texts that can only be gone back to at a checkpoint. */
export function needsCheckpoints({ copies, copyForks }: SequenceMemory): boolean {
  return copies && copyForks === 'at checkpoints'
}

/** The memory of a model whose layers all see everything. */
export function fullAttention(sharesCells: boolean): SequenceMemory {
  return {
    dropsRows: true,
    recurrent: false,
    snapshots: 0,
    copies: true,
    copyForks: 'anywhere',
    window: 0,
    sharesCells,
  }
}

/** Layers with a window, all of whose rows stay in the cache; a copy of them has one window. */
export function slidingWindow(window: number, sharesCells: boolean): SequenceMemory {
  return { ...fullAttention(sharesCells), copyForks: 'at checkpoints', window }
}

/** Layers with a window, of which the cache has one window for each sequence and no more. */
export function windowAlone(window: number): SequenceMemory {
  return { ...slidingWindow(window, true), dropsRows: false }
}

/** A state that every row changes: recurrent layers, alone or beside attention. */
export function recurrentState(window: number, sharesCells: boolean, snapshots = 0): SequenceMemory {
  return {
    dropsRows: false,
    recurrent: true,
    snapshots,
    copies: true,
    copyForks: 'at checkpoints',
    window,
    sharesCells,
  }
}
