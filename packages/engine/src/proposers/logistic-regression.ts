import { logistic } from './log-odds.ts'

/** What a regression holds for likely: a Gaussian over the weights of its evidence. */
export interface Weights {
  readonly means: readonly number[]
  /** The inverse of their covariance. */
  readonly precision: readonly (readonly number[])[]
}

interface Options {
  /** Least values of weights. Evidence for something does not count against it, whatever a few samples say. */
  readonly least?: readonly number[]
  /** What was seen fades with every `fade` to this share of its weight, and gives way to the prior. Default 0.995. */
  readonly memory?: number
}

/**
 * The probability of something by its evidence, learnt sample by sample: logistic regression with a Gaussian over its
 * weights, a Newton step for every sample (Spiegelhalter and Lauritzen 1990).
 */
export class LogisticRegression {
  readonly #prior: Weights
  readonly #least: readonly number[]
  readonly #memory: number
  #means: number[]
  #precision: number[][]

  /** @param saved what `toJSON` gave; anything else is ignored */
  constructor(prior: Weights, { least = [], memory = 0.995 }: Options = {}, saved?: unknown) {
    this.#prior = prior
    this.#least = least
    this.#memory = memory
    const { means, precision } = isWeights(saved, prior.means.length) ? saved : prior
    this.#means = [...means]
    this.#precision = precision.map((row) => [...row])
  }

  /** Nearer to a half than the most likely weights say, as long as they are not sure. */
  probability(evidence: readonly number[]): number {
    const variance = dot(evidence, solved(this.#precision, evidence))
    // The mean of a logistic of a Gaussian (MacKay 1992).
    return logistic(dot(this.#means, evidence) / Math.sqrt(1 + (Math.PI / 8) * variance))
  }

  /** Something with this evidence came true, or did not. */
  observe(evidence: readonly number[], right: boolean): void {
    const expected = logistic(dot(this.#means, evidence))
    const weight = expected * (1 - expected)
    for (const [i, row] of this.#precision.entries()) {
      for (const j of row.keys()) row[j]! += weight * evidence[i]! * evidence[j]!
    }
    const error = (right ? 1 : 0) - expected
    const step = solved(this.#precision, evidence)
    this.#move(this.#means.map((mean, i) => mean + error * step[i]!))
  }

  /** Time has passed. */
  fade(): void {
    const { means, precision } = this.#prior
    const mixed = (own: number, prior: number) => this.#memory * own + (1 - this.#memory) * prior
    const pull = this.#precision.map((row, i) => mixed(dot(row, this.#means), dot(precision[i]!, means)))
    this.#precision = this.#precision.map((row, i) => row.map((own, j) => mixed(own, precision[i]![j]!)))
    this.#move(solved(this.#precision, pull))
  }

  toJSON(): Weights {
    return { means: this.#means, precision: this.#precision }
  }

  /** The most likely weights, given that none is less than it may be. */
  #move(means: readonly number[]): void {
    this.#means = [...means]
    for (const [i, least] of this.#least.entries()) {
      const lacks = least - this.#means[i]!
      if (!(lacks > 0)) continue
      const along = solved(
        this.#precision,
        this.#means.map((_, j) => (i === j ? 1 : 0)),
      )
      this.#means = this.#means.map((mean, j) => mean + (lacks * along[j]!) / along[i]!)
    }
  }
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0)
}

/** x of A x = b for a symmetric positive definite A of a few rows, by Cholesky's factors. */
function solved(a: readonly (readonly number[])[], b: readonly number[]): number[] {
  const factor = choleskyOf(a)
  const x = [...b]
  for (let i = 0; i < x.length; i++) {
    for (let j = 0; j < i; j++) x[i]! -= factor[i]![j]! * x[j]!
    x[i]! /= factor[i]![i]!
  }
  for (let i = x.length - 1; i >= 0; i--) {
    for (let j = i + 1; j < x.length; j++) x[i]! -= factor[j]![i]! * x[j]!
    x[i]! /= factor[i]![i]!
  }
  return x
}

function choleskyOf(a: readonly (readonly number[])[]): number[][] {
  const factor: number[][] = []
  for (const [i, row] of a.entries()) {
    const own: number[] = []
    for (let j = 0; j <= i; j++) {
      const above = factor[j] ?? own
      let rest = row[j]!
      for (let k = 0; k < j; k++) rest -= own[k]! * above[k]!
      own.push(i === j ? Math.sqrt(rest) : rest / above[j]!)
    }
    factor.push(own)
  }
  return factor
}

/** Whether this is what a regression over so many pieces of evidence has learnt. */
export function isWeights(value: unknown, size: number): value is Weights {
  const { means, precision } = (value ?? {}) as Partial<Record<keyof Weights, unknown>>
  const isRow = (row: unknown): row is number[] =>
    Array.isArray(row) && row.length === size && row.every(Number.isFinite)
  if (!isRow(means) || !Array.isArray(precision) || precision.length !== size || !precision.every(isRow)) return false
  return choleskyOf(precision).every((row) => row.at(-1)! > 0)
}
