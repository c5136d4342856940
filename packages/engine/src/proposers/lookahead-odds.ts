import { type Calibration, survivalOf } from '../core/sampling/calibration.ts'
import { logistic, logit } from './log-odds.ts'
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
  /** How the replies to similar prompts begin, and how often that is right; undefined where nobody knows. */
  readonly expected: ExpectedToken | undefined
}

/** A token, and the probability that a reply begins with it. */
export interface ExpectedToken {
  readonly token: number
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
    // A prompt that was not looked into says nothing about looks.
    if (looks.length > 0) this.#recalibration.fade()
    for (const look of looks) this.#recalibration.observe(this.#calibrated(look), look.token === token)
  }

  #calibrated(seen: SeenToken): number {
    return logistic(logit(survivalOf(this.#curveFor(seen), seen.probability)) + confirmation(seen))
  }

  #curveFor({ before, token }: SeenToken): Calibration {
    const { first, agreeing, differing } = this.#calibration
    if (before === undefined) return first
    return before === token ? agreeing : differing
  }
}

// Of what two guesses would tell of one another that have nothing in common, so much is left: both fail at the same prompts.
const independence = 0.5
// Two that are both wrong agree as if there were so many other words: ln 4.5.
const logOthers = 1.5

/** What similar prompts say for a token that a lookahead has seen, or against it: added to its log-odds. */
function confirmation({ token, expected }: SeenToken): number {
  if (expected === undefined) return 0
  const evidence =
    expected.token === token
      ? Math.max(0, logit(expected.probability) + logOthers)
      : Math.log1p(-Math.min(0.99, expected.probability))
  return independence * evidence
}
