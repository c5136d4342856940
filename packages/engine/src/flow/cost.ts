import type { Costs } from './schedule.ts'

/**
 * Per stage, measured milliseconds by rows of a step, and the pairs of a row and a cell before it that attention had to
 * look at (none: short contexts).
 */
export type CostProfile = readonly (readonly { rows: number; ms: number; pairs?: number }[])[]

// No step of any machine has more rows.
const mostRows = 2 ** 20

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

/**
 * Milliseconds that k rows of a stage take on this machine, learnt while serving: what they cost at the beginning of a
 * text, a running mean per power of two of rows with straight lines between, and what attention adds for every pair of a
 * row and a cell before it. Before anything was measured, rows cost the same each.
 */
export class CostModel implements Costs {
  /** Per stage, per bucket (2^i rows). */
  readonly #buckets: Bucket[][] = []
  /** Per stage: below tiles, and in tiles. */
  readonly #attention: [PairCost, PairCost][] = []
  // A running mean over about the last 32 runs follows a machine whose load changes.
  static readonly #memory = 32

  /** @param depth positions that a row looks back on, on average */
  observe(stage: number, rows: number, ms: number, depth = 0): void {
    const index = bucketOf(rows)
    const pairs = rows * depth
    this.#take(stage, index, { rows, ms, pairs })
    this.#attention[stage] ??= [new PairCost(), new PairCost()]
    this.#attention[stage][kindOf(rows)].observe(index, pairs, ms)
  }

  #take(stage: number, index: number, { rows, ms, pairs }: { rows: number; ms: number; pairs: number }): void {
    this.#buckets[stage] ??= []
    this.#buckets[stage][index] ??= { ms: 0, rows: 0, pairs: 0, runs: 0 }
    const bucket = this.#buckets[stage][index]
    bucket.runs = Math.min(bucket.runs + 1, CostModel.#memory)
    bucket.ms += (ms - bucket.ms) / bucket.runs
    bucket.rows += (rows - bucket.rows) / bucket.runs
    bucket.pairs += (pairs - bucket.pairs) / bucket.runs
  }

  /** True once a step of this stage was observed. */
  knows(stage: number): boolean {
    return this.#buckets[stage] !== undefined
  }

  /**
   * Estimated ms of a step with this many rows of a stage.
   * @param depth positions that a row looks back on; default: as those that were measured
   */
  rows(stage: number, rows: number, depth?: number): number {
    const buckets = this.#buckets[stage] ?? []
    const attention = this.#attention[stage]
    if (depth === undefined || attention === undefined) return interpolated(buckets, rows)
    const pair = attention.map((kind) => kind.ms)
    // Without attention; never nothing, however noisy the machine.
    const bare = buckets.map((bucket) => {
      const ms = bucket.ms - pair[kindOf(bucket.rows)]! * bucket.pairs
      return { rows: bucket.rows, ms: Math.max(leastBare * bucket.ms, ms) }
    })
    return interpolated(bare, rows) + pair[kindOf(rows)]! * rows * depth
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
      buckets.filter((bucket) => bucket !== undefined).map(({ rows, ms, pairs }) => ({ rows, ms, pairs })),
    )
  }

  /** Begins with what was measured before; running observations replace it. */
  load(profile: CostProfile): void {
    for (const [stage, points] of profile.entries()) {
      for (const { rows, ms, pairs = 0 } of points) this.#take(stage, bucketOf(rows), { rows, ms, pairs })
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

/**
 * What one pair of a row and a cell costs: the slope of a straight line of milliseconds over pairs, fitted to steps that
 * have about as many rows as each other (least squares on deviations from each bucket's mean, weighted by 1 / mean ms^2,
 * because slow steps scatter more). Old steps fade.
 */
class PairCost {
  /** Per bucket, means over a long time. */
  readonly #means: { pairs: number; ms: number; runs: number }[] = []
  // Weighted sums of squares and products.
  #pairs2 = 0
  #ms2 = 0
  #product = 0
  #runs = 0
  // Long enough to see texts of several lengths.
  static readonly #memory = 1000

  observe(bucket: number, pairs: number, ms: number): void {
    this.#means[bucket] ??= { pairs: 0, ms: 0, runs: 0 }
    const mean = this.#means[bucket]
    const runs = Math.min(mean.runs + 1, PairCost.#memory)
    const [x, y] = [pairs - mean.pairs, ms - mean.ms]
    mean.runs = runs
    mean.pairs += x / runs
    mean.ms += y / runs
    const keep = 1 - 1 / PairCost.#memory
    const weight = (1 - 1 / runs) / mean.ms ** 2
    this.#pairs2 = keep * this.#pairs2 + weight * x * x
    this.#ms2 = keep * this.#ms2 + weight * y * y
    this.#product = keep * this.#product + weight * x * y
    this.#runs = keep * this.#runs + 1
  }

  /** The slope less its standard error: what is not known costs nothing. */
  get ms(): number {
    if (!(this.#pairs2 > 0) || this.#runs < leastRuns) return 0
    const slope = this.#product / this.#pairs2
    const unexplained = Math.max(0, this.#ms2 - slope * this.#product) / this.#runs
    return Math.max(0, slope - Math.sqrt(unexplained / this.#pairs2))
  }
}

// Two points always lie on a line.
const leastRuns = 8

/** Milliseconds for this many rows: straight lines between what was measured. */
function interpolated(buckets: readonly Pick<Bucket, 'rows' | 'ms'>[], rows: number): number {
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
