/**
 * Raw confidence (a model's own top probability) to the measured probability of survival: a rising step function fitted
 * by pool-adjacent-violators (isotonic regression; Zadrozny and Elkan, 2002).
 */
export interface Calibration {
  /** Lower bounds of raw confidence, rising. */
  readonly from: readonly number[]
  /** Survival at and above the bound of the same index, never falling. */
  readonly survival: readonly number[]
  /** Number of samples it was fitted on. */
  readonly samples: number
}

/** Each pool keeps one prior failure and success, so that few samples never give certainty. */
function survival(pool: { survived: number; count: number }): number {
  return (pool.survived + 1) / (pool.count + 2)
}

/** Fits a calibration. */
export function calibrate(samples: readonly { confidence: number; survived: boolean }[]): Calibration {
  const sorted = [...samples].sort((a, b) => a.confidence - b.confidence)
  const pools: { from: number; survived: number; count: number }[] = []
  // Bins of at least 10 samples first: single samples would make the last pool 0 or 1.
  const bin = Math.max(10, Math.floor(sorted.length / 40))
  for (let start = 0, end: number; start < sorted.length; start = end) {
    end = Math.min(start + bin, sorted.length)
    // Equal confidences share a pool whatever their order, and a rest too small for a bin joins the last one.
    if (sorted.length - end < bin) end = sorted.length
    while (sorted[end]?.confidence === sorted[end - 1]!.confidence) end++
    const part = sorted.slice(start, end)
    const pool = { from: part[0]!.confidence, survived: part.filter((s) => s.survived).length, count: part.length }
    pools.push(pool)
    for (let last = pools.at(-1)!; pools.length > 1; last = pools.at(-1)!) {
      const before = pools.at(-2)!
      if (survival(before) < survival(last)) break
      pools.pop()
      before.survived += last.survived
      before.count += last.count
    }
  }
  return {
    from: pools.map((pool) => pool.from),
    survival: pools.map(survival),
    samples: samples.length,
  }
}

/** Calibrated probability of survival; 0 below the first bound. */
export function survivalOf(calibration: Calibration, confidence: number): number {
  let survival = 0
  for (let i = 0; i < calibration.from.length && calibration.from[i]! <= confidence; i++)
    survival = calibration.survival[i]!
  return survival
}
