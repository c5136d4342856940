/**
 * What the memory of a sequence can do: the KV cache of a transformer, the state of a recurrent model, or both. Everything
 * that shares, keeps or gives rows back asks here, and not for the architecture.
 */
export interface SequenceMemory {
  /** Rows at its end that can be given up, the others staying: Infinity for any suffix, 0 for none but all of them. */
  readonly droppableRows: number
  /** Where another sequence can go on from it: behind any row, behind its last one only, or not at all. */
  readonly forks: 'anywhere' | 'at end' | 'never'
  /** Its rows can be copied out of the cache, and back into any slot. */
  readonly copies: boolean
  /** Positions that layers with a window look back; 0: all layers see everything. */
  readonly window: number
  /** Sequences share cells for the rows they share; otherwise each has a cache of its own, and shared rows are copied. */
  readonly sharesCells: boolean
}

/** Guesses can be verified, because what was wrong of them can be given up. */
export function canSpeculate({ droppableRows }: SequenceMemory): boolean {
  return droppableRows === Number.POSITIVE_INFINITY
}

/** Rows of requests that are over can be kept outside the cache for others. */
export function canKeepRows({ copies, window, droppableRows }: SequenceMemory): boolean {
  return copies && window === 0 && droppableRows === Number.POSITIVE_INFINITY
}

/** The memory of a model whose layers all see everything. */
export function fullAttention(sharesCells: boolean): SequenceMemory {
  return { droppableRows: Number.POSITIVE_INFINITY, forks: 'anywhere', copies: true, window: 0, sharesCells }
}
