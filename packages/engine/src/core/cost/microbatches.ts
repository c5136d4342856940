/** Rows of one sequence in a step. */
export interface SlotRows {
  readonly slot: number
  readonly rows: number
}

/** What one run of the model's graph computes. */
export interface Microbatch {
  readonly rows: number
  /** Rows that attention computes together: those of one sequence where each has a cache of its own, otherwise all. */
  readonly each: number
}

/** Rows that run in one pass and share a cache. */
export function oneBatch(rows: number): Microbatch {
  return { rows, each: rows }
}

/**
 * The microbatches of a step over separate caches, as llama.cpp v0.5.0 splits a batch (`split_equal`): neighbouring slots
 * that follow one another run together for as many rows as all of them have, the rest in further ones.
 * @param step in the order of the batch
 */
export function microbatches(step: readonly SlotRows[]): Microbatch[] {
  const left = step.filter(({ rows }) => rows > 0).map(({ slot, rows }) => ({ slot, rows }))
  const result: Microbatch[] = []
  while (left.length > 0) {
    let sequences = 1
    let each = left[0]!.rows
    while (left[sequences]?.slot === left[0]!.slot + sequences) each = Math.min(each, left[sequences++]!.rows)
    result.push({ rows: each * sequences, each })
    for (let i = sequences - 1; i >= 0; i--) {
      left[i]!.rows -= each
      if (left[i]!.rows === 0) left.splice(i, 1)
    }
  }
  return result
}
