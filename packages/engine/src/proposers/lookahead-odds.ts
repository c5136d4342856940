import { type Calibration, survivalOf } from '../core/sampling/calibration.ts'
import { Recalibration, type SavedRecalibration } from './recalibration.ts'

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

/** The first token that a lookahead has seen. */
export interface SeenToken {
  /** What the lookahead before it saw, if there was one. */
  readonly before: number | undefined
  readonly token: number
  /** The model's own. */
  readonly probability: number
}

/** What is known of how often lookaheads are right. */
export interface LookaheadOdds {
  /** Probability that the first token of a lookahead survives. */
  first(seen: SeenToken): number
  /** Probability that a token after it survives, if those before it do, by the model's own. */
  later(probability: number): number
  /**
   * How often the first token of a lookahead is right.
   * @param before what the one before it saw, if there was one
   */
  usual(before: number | undefined): number
  /**
   * The reply begins with this token.
   * @param looks what was seen before, in order
   */
  decided(looks: readonly SeenToken[], token: number): void
}

/** Odds as `incipit tune --skim` measures them, corrected by every look of this engine: each is verified a moment later. */
export class LearnedOdds implements LookaheadOdds {
  readonly #calibration: SkimCalibration
  readonly #recalibration: Recalibration

  /** @param saved how far the calibration was off before: `toJSON` */
  constructor(calibration: SkimCalibration, saved?: unknown) {
    this.#calibration = calibration
    this.#recalibration = new Recalibration(saved)
  }

  /** For a profile. */
  toJSON(): SavedRecalibration {
    return this.#recalibration.toJSON()
  }

  first(seen: SeenToken): number {
    return this.#recalibration.correct(this.#calibrated(seen))
  }

  later(probability: number): number {
    return survivalOf(this.#calibration.later, probability)
  }

  usual(before: number | undefined): number {
    const { first, differing } = this.#calibration
    // A calibration's steps hold about as many samples each.
    const { survival } = before === undefined ? first : differing
    return survival.reduce((sum, one) => sum + this.#recalibration.correct(one), 0) / Math.max(1, survival.length)
  }

  decided(looks: readonly SeenToken[], token: number): void {
    this.#recalibration.fade()
    for (const look of looks) this.#recalibration.observe(this.#calibrated(look), look.token === token)
  }

  #calibrated({ before, token, probability }: SeenToken): number {
    const { first, agreeing, differing } = this.#calibration
    if (before === undefined) return survivalOf(first, probability)
    return survivalOf(before === token ? agreeing : differing, probability)
  }
}
