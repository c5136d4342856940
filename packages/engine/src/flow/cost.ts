import type { Costs } from './schedule.ts'

/** Per stage, measured milliseconds by rows of a step. */
export type CostProfile = readonly (readonly { rows: number; ms: number }[])[]

// No step of any machine has more rows.
const mostRows = 2 ** 20

/** A running mean of what steps with about this many rows took. */
interface Bucket {
  ms: number
  rows: number
  runs: number
}

// Attention makes a row the dearer the more it looks back on: steps are judged in classes of depth, each from its least
// mean position on. (SmolLM2-135M, 2 cores: 8 rows cost 2 times one row at the beginning, 6 times one at depth 1,000.)
const depthClasses = [0, 256, 768, 2048]

/**
 * Milliseconds that k rows of a stage take on this machine, learnt while serving: a running mean per power of two of
 * rows, and straight lines between them. Before anything was measured, rows cost the same each.
 */
export class CostModel implements Costs {
  /** Per stage, per bucket (2^i rows): at any depth, and per class of depth. */
  readonly #buckets: Bucket[][] = []
  readonly #byDepth: Bucket[][][] = []
  // A running mean over about the last 32 runs follows a machine whose load changes.
  static readonly #memory = 32

  /** @param depth positions that a row looks back on, on average; left out, it counts for no class */
  observe(stage: number, rows: number, ms: number, depth?: number): void {
    this.#buckets[stage] ??= []
    this.#take(this.#buckets[stage], rows, ms)
    if (depth === undefined) return
    this.#byDepth[stage] ??= depthClasses.map(() => [])
    this.#take(this.#byDepth[stage][classOf(depth)]!, rows, ms)
  }

  #take(buckets: Bucket[], rows: number, ms: number): void {
    const index = Math.round(Math.log2(rows))
    buckets[index] ??= { ms: 0, rows: 0, runs: 0 }
    const bucket = buckets[index]
    bucket.runs = Math.min(bucket.runs + 1, CostModel.#memory)
    bucket.ms += (ms - bucket.ms) / bucket.runs
    bucket.rows += (rows - bucket.rows) / bucket.runs
  }

  /** True once a step of this stage was observed. */
  knows(stage: number): boolean {
    return this.#buckets[stage] !== undefined
  }

  /**
   * Estimated ms of a step with this many rows of a stage.
   * @param depth positions that a row looks back on; default: any
   */
  rows(stage: number, rows: number, depth?: number): number {
    const all = this.#buckets[stage] ?? []
    const deep = depth === undefined ? undefined : this.#byDepth[stage]?.[classOf(depth)]
    const most = deep?.findLast((bucket) => bucket !== undefined)
    if (!deep || !most) return interpolated(all, rows)
    if (rows <= most.rows) return interpolated(deep, rows)
    // Beyond what was seen at this depth the steps of all depths say how it goes on.
    return (interpolated(all, rows) * most.ms) / interpolated(all, most.rows)
  }

  /** Most rows of a stage whose step takes at most this long; at least 1. */
  within(stage: number, ms: number): number {
    if (ms === Number.POSITIVE_INFINITY) return Number.MAX_SAFE_INTEGER
    let fits = 1
    let tooMany = 2
    while (this.rows(stage, tooMany) <= ms && tooMany < mostRows) {
      fits = tooMany
      tooMany *= 2
    }
    while (tooMany - fits > 1) {
      const middle = (fits + tooMany) >> 1
      if (this.rows(stage, middle) <= ms) fits = middle
      else tooMany = middle
    }
    return fits
  }

  /** What was measured, for a profile that a later start begins with. */
  save(): CostProfile {
    // Not `map`: it would leave holes for stages that were never measured.
    return Array.from(this.#buckets, (buckets = []) =>
      buckets.filter((bucket) => bucket !== undefined).map(({ rows, ms }) => ({ rows, ms })),
    )
  }

  /** Begins with what was measured before; running observations replace it. */
  load(profile: CostProfile): void {
    for (const [stage, points] of profile.entries()) {
      for (const { rows, ms } of points) this.observe(stage, rows, ms)
    }
  }
}

function classOf(depth: number): number {
  return depthClasses.findLastIndex((least) => depth >= least)
}

/** Milliseconds for this many rows: straight lines between what was measured. */
function interpolated(buckets: readonly Bucket[], rows: number): number {
  const known = buckets.filter((bucket) => bucket !== undefined)
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

/**
 * How many drafts of each chain are worth verifying in one step, over all requests: those with the most expected tokens
 * per millisecond, none when plain decoding is best. A chain lists per draft the probability that it is right given that
 * those before it are, so the running product falls along it and drafts can be taken in the order of their survival.
 *
 * @param plainRows rows of the step without drafts
 * @param plainTokens tokens that those rows decide: one per running reply
 * @param ms cost of a step with this many rows
 */
export function admitDrafts(
  chains: readonly (readonly number[])[],
  plainRows: number,
  plainTokens: number,
  ms: (rows: number) => number,
): number[] {
  const drafts: { chain: number; survival: number }[] = []
  for (const [chain, confidences] of chains.entries()) {
    let survival = 1
    for (const confidence of confidences) {
      survival *= confidence
      drafts.push({ chain, survival })
    }
  }
  // A stable sort: of one chain the earlier draft first, also where both are certain.
  drafts.sort((a, b) => b.survival - a.survival)
  let best = 0
  let bestRate = plainTokens / ms(plainRows)
  let expected = plainTokens
  for (const [index, { survival }] of drafts.entries()) {
    expected += survival
    const rate = expected / ms(plainRows + index + 1)
    if (rate > bestRate) {
      best = index + 1
      bestRate = rate
    }
  }
  const lengths = chains.map(() => 0)
  for (const { chain } of drafts.slice(0, best)) lengths[chain]!++
  return lengths
}
