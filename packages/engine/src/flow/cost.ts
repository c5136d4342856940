import { PairCost } from './pair-cost.ts'
import type { Costs } from './schedule.ts'

/**
 * Per stage, measured milliseconds by rows of a step, and the pairs of a row and a cell before it that attention had to
 * look at (none: short contexts).
 */
export type CostProfile = readonly (readonly { rows: number; ms: number; pairs?: number }[])[]

// No step of any machine has more rows.
const mostRows = 2 ** 20

interface Point {
  readonly rows: number
  readonly ms: number
}

/** Running means of steps with about this many rows. */
interface Bucket {
  ms: number
  rows: number
  pairs: number
  runs: number
}

// From this bucket on (64 rows) attention computes tiles of rows together, and a pair costs less. Steps of both kinds are
// judged apart. (SmolLM2-135M, 2 cores: 8 rows cost 2 times one row at the beginning, 6 times one at depth 1,000.)
const tiledBucket = 6

/** What is known of one stage. */
class StageCost {
  /** By power of two of rows. */
  readonly #buckets: Bucket[] = []
  /** Below tiles, and in tiles. */
  readonly #attention = [new PairCost(), new PairCost()] as const
  /** What follows from the measurements: computed again when it is asked for after a new one. */
  #known: { all: Point[]; bare: Point[]; pair: readonly [number, number] } | undefined
  // A running mean over about the last 32 runs follows a machine whose load changes.
  static readonly #memory = 32

  observe(rows: number, ms: number, depth: number): void {
    this.take(rows, ms, rows * depth)
    this.#attention[kindOf(rows)].observe(bucketOf(rows), rows * depth, ms)
  }

  /** A measurement that says nothing about attention. */
  take(rows: number, ms: number, pairs: number): void {
    this.#known = undefined
    const index = bucketOf(rows)
    this.#buckets[index] ??= { ms: 0, rows: 0, pairs: 0, runs: 0 }
    const bucket = this.#buckets[index]
    bucket.runs = Math.min(bucket.runs + 1, StageCost.#memory)
    bucket.ms += (ms - bucket.ms) / bucket.runs
    bucket.rows += (rows - bucket.rows) / bucket.runs
    bucket.pairs += (pairs - bucket.pairs) / bucket.runs
  }

  /** @param depth default: as in the steps that were measured */
  ms(rows: number, depth: number | undefined): number {
    this.#known ??= this.#conclude()
    const { all, bare, pair } = this.#known
    if (depth === undefined) return interpolated(all, rows)
    return interpolated(bare, rows) + pair[kindOf(rows)] * rows * depth
  }

  #conclude() {
    const pair = [this.#attention[0].ms, this.#attention[1].ms] as const
    const all = this.points()
    // Without attention; never nothing, however noisy the machine.
    const bare = all.map(({ rows, ms, pairs }) => ({
      rows,
      ms: Math.max(leastBare * ms, ms - pair[kindOf(rows)] * pairs),
    }))
    return { all, bare, pair }
  }

  points(): { rows: number; ms: number; pairs: number }[] {
    return this.#buckets.filter((bucket) => bucket !== undefined).map(({ rows, ms, pairs }) => ({ rows, ms, pairs }))
  }
}

/**
 * Milliseconds that k rows of a stage take on this machine, learnt while serving: what they cost at the beginning of a
 * text, a running mean per power of two of rows with straight lines between, and what attention adds for every pair of a
 * row and a cell before it. Before anything was measured, rows cost the same each.
 */
export class CostModel implements Costs {
  readonly #stages: StageCost[] = []

  #stage(stage: number): StageCost {
    this.#stages[stage] ??= new StageCost()
    return this.#stages[stage]
  }

  /** @param depth positions that a row looks back on, on average */
  observe(stage: number, rows: number, ms: number, depth = 0): void {
    this.#stage(stage).observe(rows, ms, depth)
  }

  /** True once a step of this stage was observed. */
  knows(stage: number): boolean {
    return this.#stages[stage] !== undefined
  }

  /**
   * Estimated ms of a step with this many rows of a stage.
   * @param depth positions that a row looks back on; default: as those that were measured
   */
  rows(stage: number, rows: number, depth?: number): number {
    return this.#stages[stage]?.ms(rows, depth) ?? rows
  }

  /** Most rows of a stage whose step takes at most this long; at least 1. `depth` as in `rows`. */
  within(stage: number, ms: number, depth?: number): number {
    if (ms === Number.POSITIVE_INFINITY) return Number.MAX_SAFE_INTEGER
    let fits = 1
    let tooMany = 2
    while (this.rows(stage, tooMany, depth) <= ms && tooMany < mostRows) {
      fits = tooMany
      tooMany *= 2
    }
    while (tooMany - fits > 1) {
      const middle = (fits + tooMany) >> 1
      if (this.rows(stage, middle, depth) <= ms) fits = middle
      else tooMany = middle
    }
    return fits
  }

  /** What was measured, for a profile that a later start begins with. */
  save(): CostProfile {
    // Not `map`: it would leave holes for stages that were never measured.
    return Array.from(this.#stages, (stage) => stage?.points() ?? [])
  }

  /** Begins with what was measured before; running observations replace it. */
  load(profile: CostProfile): void {
    for (const [stage, points] of profile.entries()) {
      for (const { rows, ms, pairs = 0 } of points) this.#stage(stage).take(rows, ms, pairs)
    }
  }
}

const leastBare = 0.1

/** The costs of steps that look back on about so many positions. */
export function atDepth(costs: Costs, depth: number): Pick<Costs, 'rows'> {
  return { rows: (stage, rows) => costs.rows(stage, rows, depth) }
}

function bucketOf(rows: number): number {
  return Math.round(Math.log2(rows))
}

function kindOf(rows: number): 0 | 1 {
  return bucketOf(rows) < tiledBucket ? 0 : 1
}

/** Milliseconds for this many rows: straight lines between what was measured. */
function interpolated(points: readonly Point[], rows: number): number {
  const first = points[0]
  if (first === undefined) return rows
  let below = first
  for (const above of points) {
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
