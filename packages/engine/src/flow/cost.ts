/**
 * Milliseconds that k rows of a stage take on this machine, learnt while serving: a running mean per power of two of
 * rows, and straight lines between them. Before anything was measured, rows cost the same each.
 */
export class CostModel {
  /** Per stage, per bucket (2^i rows): running mean of ms and how many runs it stands for. */
  readonly #buckets: { ms: number; rows: number; runs: number }[][] = []
  // A running mean over about the last 32 runs follows a machine whose load changes.
  static readonly #memory = 32

  observe(stage: number, rows: number, ms: number): void {
    this.#buckets[stage] ??= []
    const index = Math.round(Math.log2(rows))
    this.#buckets[stage][index] ??= { ms: 0, rows: 0, runs: 0 }
    const bucket = this.#buckets[stage][index]
    bucket.runs = Math.min(bucket.runs + 1, CostModel.#memory)
    bucket.ms += (ms - bucket.ms) / bucket.runs
    bucket.rows += (rows - bucket.rows) / bucket.runs
  }

  /** True once a step of this stage was observed. */
  knows(stage: number): boolean {
    return this.#buckets[stage] !== undefined
  }

  /** Estimated ms of a step with this many rows of a stage. */
  rows(stage: number, rows: number): number {
    const known = (this.#buckets[stage] ?? []).filter((bucket) => bucket !== undefined)
    const first = known[0]
    if (first === undefined) return rows
    let below = first
    for (const above of known) {
      if (above.rows >= rows) {
        if (above === below || above.rows === below.rows) break
        const share = (rows - below.rows) / (above.rows - below.rows)
        return below.ms + share * (above.ms - below.ms)
      }
      below = above
    }
    // Outside what was measured: in proportion, but a step never costs less than the smallest one seen.
    return Math.max(first.ms, (below.ms * rows) / below.rows)
  }
}

/**
 * How many drafts of a chain are worth verifying: the length with the most expected tokens per millisecond, 0 when plain
 * decoding is best. `confidences[j]` is the probability that draft j is right given that those before it are; `ms(rows)`
 * the cost of a step.
 */
export function bestDraftLength(confidences: readonly number[], ms: (rows: number) => number): number {
  let best = 0
  let bestRate = 1 / ms(1)
  let survival = 1
  let expected = 1
  for (let length = 1; length <= confidences.length; length++) {
    survival *= confidences[length - 1]!
    expected += survival
    const rate = expected / ms(length + 1)
    if (rate > bestRate) {
      best = length
      bestRate = rate
    }
  }
  return best
}
