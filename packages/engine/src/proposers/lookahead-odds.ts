import { type Calibration, survivalOf } from '../core/sampling/calibration.ts'
import type { LookaheadPlan } from './skim.ts'

/** Survival of what a lookahead sees, by its own probability. */
export interface SkimCalibration {
  /** The first token of a reply, seen by the first lookahead. */
  readonly first: Calibration
  /** The same, seen by a later lookahead that agrees with the one before it, or does not. */
  readonly agreeing: Calibration
  readonly differing: Calibration
  /** Tokens after a right one. */
  readonly later: Calibration
  /** Where it comes from, for people. */
  readonly note: string
}

/** A token that a lookahead has decoded. */
export interface SeenToken {
  /** Tokens it had decoded before. */
  readonly depth: number
  /** The first token that the lookahead before it saw, if there was one. */
  readonly seen: number | undefined
  readonly token: number
  /** The model's own. */
  readonly probability: number
  readonly plan: LookaheadPlan
}

/** What is known of how often lookaheads are right. */
export interface LookaheadOdds {
  /** Probability that a token survives, if those before it do. */
  stability(seen: SeenToken): number
  /**
   * How often the first token of a lookahead is right.
   * @param seen the first token of the one before it, if there was one
   */
  usual(seen: number | undefined): number
}

/** Odds as `incipit tune --skim` measures them. */
export class CalibratedOdds implements LookaheadOdds {
  readonly #calibration: SkimCalibration

  constructor(calibration: SkimCalibration) {
    this.#calibration = calibration
  }

  stability({ depth, seen, token, probability }: SeenToken): number {
    const { first, agreeing, differing, later } = this.#calibration
    if (depth > 0) return survivalOf(later, probability)
    if (seen === undefined) return survivalOf(first, probability)
    return survivalOf(seen === token ? agreeing : differing, probability)
  }

  /** A calibration's steps hold about as many samples each. */
  usual(seen: number | undefined): number {
    const { first, differing } = this.#calibration
    const { survival } = seen === undefined ? first : differing
    return survival.reduce((sum, one) => sum + one, 0) / Math.max(1, survival.length)
  }
}
