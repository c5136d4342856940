import { logistic, logit } from './log-odds.ts'

// Mean and variance of offset and slope before anything was seen: the calibration as it is, worth some tens of samples.
const prior = { offset: 0, slope: 1, offsetVariance: 0.3, slopeVariance: 0.075 }
// What was seen fades: with every prompt to this share of its weight.
const memory = 0.995
// What is surer is not wrong more often, whatever the same few levels of sureness say.
const leastSlope = 0.1

/**
 * How far a calibration is off where it is used: logit' = offset + slope * logit (Platt 1999, "Probabilistic Outputs for
 * Support Vector Machines"), learnt while serving. A Gaussian over both, a Newton step for every sample (Spiegelhalter and
 * Lauritzen 1990); what was seen long ago gives way to the prior, which is the calibration itself.
 */
export class Recalibration {
  #offset = prior.offset
  #slope = prior.slope
  // The precision of both: the inverse of their covariance.
  #offsetPrecision = 1 / prior.offsetVariance
  #slopePrecision = 1 / prior.slopeVariance
  #cross = 0

  /** @param saved what `toJSON` gave; anything else is ignored */
  constructor(saved?: unknown) {
    if (!isSaved(saved)) return
    const [offset, slope, offsetPrecision, slopePrecision, cross] = saved
    this.#offset = offset
    this.#slope = slope
    this.#offsetPrecision = offsetPrecision
    this.#slopePrecision = slopePrecision
    this.#cross = cross
  }

  /** What a calibrated probability is worth here; nearer to a half than the mean says as long as little was seen. */
  correct(calibrated: number): number {
    const x = logit(calibrated)
    const [along, across] = this.#solve(1, x)
    const variance = along + across * x
    // The mean of a logistic of a Gaussian (MacKay 1992).
    return logistic((this.#offset + this.#slope * x) / Math.sqrt(1 + (Math.PI / 8) * variance))
  }

  /** Something with this calibrated probability was right, or was not. */
  observe(calibrated: number, right: boolean): void {
    const x = logit(calibrated)
    const expected = logistic(this.#offset + this.#slope * x)
    const weight = expected * (1 - expected)
    this.#offsetPrecision += weight
    this.#cross += weight * x
    this.#slopePrecision += weight * x * x
    const [offset, slope] = this.#solve(1, x)
    const error = (right ? 1 : 0) - expected
    this.#offset += error * offset
    this.#slope = Math.max(leastSlope, this.#slope + error * slope)
  }

  /** Another prompt has passed. */
  fade(): void {
    const fresh = 1 - memory
    const [offsetPrecision, slopePrecision] = [1 / prior.offsetVariance, 1 / prior.slopeVariance]
    const a = this.#offsetPrecision * this.#offset + this.#cross * this.#slope
    const b = this.#cross * this.#offset + this.#slopePrecision * this.#slope
    this.#offsetPrecision = memory * this.#offsetPrecision + fresh * offsetPrecision
    this.#slopePrecision = memory * this.#slopePrecision + fresh * slopePrecision
    this.#cross *= memory
    const mean = this.#solve(
      memory * a + fresh * offsetPrecision * prior.offset,
      memory * b + fresh * slopePrecision * prior.slope,
    )
    this.#offset = mean[0]
    this.#slope = Math.max(leastSlope, mean[1])
  }

  /** For a profile. */
  toJSON(): SavedRecalibration {
    return [this.#offset, this.#slope, this.#offsetPrecision, this.#slopePrecision, this.#cross]
  }

  /** The covariance times a vector. */
  #solve(a: number, b: number): readonly [number, number] {
    const determinant = this.#offsetPrecision * this.#slopePrecision - this.#cross ** 2
    return [
      (this.#slopePrecision * a - this.#cross * b) / determinant,
      (this.#offsetPrecision * b - this.#cross * a) / determinant,
    ]
  }
}

/** Offset, slope, and the precisions: of the offset, of the slope, and between them. */
export type SavedRecalibration = readonly [number, number, number, number, number]

function isSaved(value: unknown): value is SavedRecalibration {
  if (!Array.isArray(value) || value.length !== 5 || !value.every(Number.isFinite)) return false
  const [, slope, offsetPrecision, slopePrecision, cross] = value as unknown as SavedRecalibration
  return slope >= leastSlope && offsetPrecision > 0 && offsetPrecision * slopePrecision > cross ** 2
}
