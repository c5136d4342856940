/**
 * What one pair of a row and a cell costs: the slope of a straight line of milliseconds over pairs, fitted to steps that
 * have about as many rows as each other (least squares on deviations from each bucket's mean, weighted by 1 / mean ms^2,
 * because slow steps scatter more). Old steps fade.
 */
export class PairCost {
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
    if (!(this.#pairs2 > 0) || this.#runs < minRuns) return 0
    const slope = this.#product / this.#pairs2
    const unexplained = Math.max(0, this.#ms2 - slope * this.#product) / this.#runs
    return Math.max(0, slope - Math.sqrt(unexplained / this.#pairs2))
  }
}

// Two points always lie on a line.
const minRuns = 8
