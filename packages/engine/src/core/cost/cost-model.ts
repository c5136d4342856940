import type { CostProfile } from '../../api/cost-profile.ts'
import type { Costs } from './costs.ts'
import { type Microbatch, oneBatch } from './microbatches.ts'
import { PairCost } from './pair-cost.ts'

// No step of any machine has more rows.
const maxRows = 2 ** 20

interface Point {
  readonly rows: number
  readonly ms: number
}

/** Running means of steps with about this many rows, or the fastest of few. */
interface Bucket {
  ms: number
  rows: number
  pairs: number
  runs: number
}

// From this bucket on (64 rows of a sequence) attention computes tiles of rows together, and a pair costs less. Microbatches
// of both kinds are measured separately. (SmolLM2-135M, 2 cores: 8 rows cost 2 times one row at the beginning, 6 times one at depth 1,000.)
const tiledBucket = 6

/** What is known of one stage. */
class StageCost {
  /** By power of two of rows; microbatches whose attention goes cell by cell, and those with tiles. */
  readonly #buckets: readonly [loose: Bucket[], tiled: Bucket[]] = [[], []]
  readonly #attention = [new PairCost(), new PairCost()] as const
  /** What follows from the measurements: computed again when it is asked for after a new one. */
  #known: { all: Point[]; bare: Point[]; pair: readonly [number, number] } | undefined
  // A running mean over about the last 32 runs follows a machine whose load changes.
  static readonly #memory = 32
  // Of the first ones the fastest: one that was disturbed would make a width look slow that is then never used, nor measured.
  static readonly #first = 3

  observe(microbatch: Microbatch, ms: number, depth: number): void {
    const pairs = microbatch.rows * depth
    this.take(microbatch, ms, pairs)
    this.#attention[kindOf(microbatch)].observe(bucketOf(microbatch.rows), pairs, ms)
  }

  /** A measurement that says nothing about attention. */
  take(microbatch: Microbatch, ms: number, pairs: number): void {
    this.#known = undefined
    const { rows } = microbatch
    const buckets = this.#buckets[kindOf(microbatch)]
    const index = bucketOf(rows)
    buckets[index] ??= { ms, rows, pairs, runs: 0 }
    const bucket = buckets[index]
    bucket.runs = Math.min(bucket.runs + 1, StageCost.#memory)
    if (bucket.runs <= StageCost.#first) {
      if (ms / rows < bucket.ms / bucket.rows) Object.assign(bucket, { ms, rows, pairs })
      return
    }
    bucket.ms += (ms - bucket.ms) / bucket.runs
    bucket.rows += (rows - bucket.rows) / bucket.runs
    bucket.pairs += (pairs - bucket.pairs) / bucket.runs
  }

  /** @param depth default: as in the microbatches that were measured */
  ms(microbatch: Microbatch, depth: number | undefined): number {
    this.#known ??= this.#conclude()
    const { all, bare, pair } = this.#known
    if (depth === undefined) return interpolated(all, microbatch.rows)
    return interpolated(bare, microbatch.rows) + pair[kindOf(microbatch)] * microbatch.rows * depth
  }

  #conclude() {
    const pair = [this.#attention[0].ms, this.#attention[1].ms] as const
    const [loose, tiled] = this.#buckets
    const all = [...loose.slice(0, tiledBucket), ...tiled.slice(tiledBucket)].filter(isMeasured)
    // Without attention a microbatch of many rows costs the same, however they are spread over sequences.
    const bare = Array.from({ length: Math.max(loose.length, tiled.length) }, (_, index) => {
      const kind = index >= tiledBucket && tiled[index] ? 1 : 0
      const bucket = this.#buckets[kind][index]
      // Never nothing, however noisy the machine.
      return bucket && { rows: bucket.rows, ms: Math.max(minBare * bucket.ms, bucket.ms - pair[kind] * bucket.pairs) }
    }).filter(isMeasured)
    return { all, bare, pair }
  }

  points(): CostProfile[number] {
    const [loose, tiled] = this.#buckets
    const many = loose.slice(tiledBucket).filter(isMeasured)
    return [
      ...[...loose.slice(0, tiledBucket), ...tiled.slice(tiledBucket)].filter(isMeasured).map(point),
      ...many.map((bucket) => ({ ...point(bucket), loose: true })),
    ]
  }
}

/**
 * Milliseconds that k rows of a stage take on this machine, learnt while serving: what they cost at the beginning of a
 * text, a running mean per power of two of rows (of few measurements the fastest) with straight lines between, and what
 * attention adds for every pair of a row and a cell before it. Before anything was measured, rows cost the same each.
 */
export class CostModel implements Costs {
  readonly #stages: StageCost[] = []

  #stage(stage: number): StageCost {
    this.#stages[stage] ??= new StageCost()
    return this.#stages[stage]
  }

  /** @param depth positions that a row looks back on, on average */
  observe(stage: number, rows: number, ms: number, depth = 0): void {
    this.#stage(stage).observe(oneBatch(rows), ms, depth)
  }

  /** A step that ran in several microbatches: each gets its part of the time, as far as is known. */
  observeMicrobatches(stage: number, microbatches: readonly Microbatch[], ms: number, depth: number): void {
    const expected = microbatches.map((microbatch) => this.microbatch(stage, microbatch, depth))
    const all = expected.reduce((sum, one) => sum + one, 0)
    for (const [i, microbatch] of microbatches.entries())
      this.#stage(stage).observe(microbatch, (ms * expected[i]!) / all, depth)
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
    return this.microbatch(stage, oneBatch(rows), depth)
  }

  /** Estimated ms of one microbatch. `depth` as in `rows`. */
  microbatch(stage: number, microbatch: Microbatch, depth?: number): number {
    return this.#stages[stage]?.ms(microbatch, depth) ?? microbatch.rows
  }

  /** Most rows of a stage whose step takes at most this long; at least 1. `depth` as in `rows`. */
  within(stage: number, ms: number, depth?: number): number {
    if (ms === Number.POSITIVE_INFINITY) return Number.MAX_SAFE_INTEGER
    let fits = 1
    let tooMany = 2
    while (this.rows(stage, tooMany, depth) <= ms && tooMany < maxRows) {
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
      for (const { rows, ms, pairs = 0, loose } of points) {
        this.#stage(stage).take(loose ? { rows, each: 1 } : oneBatch(rows), ms, pairs)
      }
    }
  }
}

const minBare = 0.1

function bucketOf(rows: number): number {
  return Math.round(Math.log2(rows))
}

/** Loose or tiled. */
function kindOf({ each }: Microbatch): 0 | 1 {
  return bucketOf(each) < tiledBucket ? 0 : 1
}

function isMeasured<T>(bucket: T | undefined): bucket is T {
  return bucket !== undefined
}

function point({ rows, ms, pairs }: Bucket) {
  return { rows, ms, pairs }
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
