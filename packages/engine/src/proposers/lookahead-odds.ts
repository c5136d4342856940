import { type Calibration, survivalOf } from '../core/sampling/calibration.ts'
import { logit } from './log-odds.ts'
import { LogisticRegression, type Weights } from './logistic-regression.ts'

/** What lookaheads on some prompts say of others. */
export interface SkimCalibration {
  /** What the first token that a lookahead sees is judged by: see `evidenceOf`. */
  readonly first: Weights
  /** How often it is right: that of the first lookahead, and of those after one that was not sure. */
  readonly right: { readonly first: number; readonly further: number }
  /** Survival of the tokens after a right one, by the model's own probability. */
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
  /** That of the likeliest other token. */
  readonly second: number
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

// Two words can be as far apart as they like, and a sampled one is behind others: beyond this nothing more is to be learnt.
const mostMargin = 6

/**
 * What speaks for the first token of a lookahead: that there is one; how far the next best is behind it, in logits; whether
 * the lookahead before saw the same, or something else; and what is known of similar prompts.
 */
export function evidenceOf({ before, token, probability, second, expected }: SeenToken): number[] {
  const ahead = Math.log(Math.max(probability, Number.MIN_VALUE) / Math.max(second, Number.MIN_VALUE))
  const margin = Math.max(-mostMargin, Math.min(mostMargin, ahead))
  const same = before === undefined ? undefined : before === token
  return [1, margin, same === true ? 1 : 0, same === false ? 1 : 0, confirmation(token, expected)]
}

// Who is further ahead is not wrong more often, nor who is confirmed.
const least = [Number.NEGATIVE_INFINITY, 0.1, Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 0]

/** Pieces of evidence. */
export const evidencePieces = least.length

/** A regression over the evidence of lookaheads. */
export function regression(prior: Weights, saved?: unknown): LogisticRegression {
  return new LogisticRegression(prior, { least }, saved)
}

/** Odds as `incipit tune --skim` measures them, corrected by every look of this engine: each is verified a moment later. */
export class LearnedOdds implements LookaheadOdds {
  readonly #calibration: SkimCalibration
  readonly #regression: LogisticRegression
  readonly #first: Rate
  readonly #further: Rate

  /** @param saved what was learnt before: `toJSON`; anything else is ignored */
  constructor(calibration: SkimCalibration, saved?: unknown) {
    this.#calibration = calibration
    const { weights, first, further } = (saved ?? {}) as Partial<Record<keyof SavedOdds, unknown>>
    this.#regression = regression(calibration.first, weights)
    this.#first = new Rate(calibration.right.first, first)
    this.#further = new Rate(calibration.right.further, further)
  }

  /** For a profile. */
  toJSON(): SavedOdds {
    return { weights: this.#regression.toJSON(), first: this.#first.value, further: this.#further.value }
  }

  first(seen: SeenToken): number {
    return this.#regression.probability(evidenceOf(seen))
  }

  later(probability: number): number {
    return survivalOf(this.#calibration.later, probability)
  }

  usual(before: number | undefined): number {
    return this.#rateOf(before).value
  }

  decided(looks: readonly SeenToken[], token: number): void {
    // A prompt that was not looked into says nothing about looks.
    if (looks.length > 0) this.#regression.fade()
    for (const look of looks) {
      const right = look.token === token
      this.#regression.observe(evidenceOf(look), right)
      this.#rateOf(look.before).observe(right)
    }
  }

  #rateOf(before: number | undefined): Rate {
    return before === undefined ? this.#first : this.#further
  }
}

/** What a profile keeps. */
export interface SavedOdds {
  readonly weights: Weights
  readonly first: number
  readonly further: number
}

// A running mean over about so many.
const rateMemory = 40

/** How often something comes true lately. */
class Rate {
  #value: number

  constructor(prior: number, saved: unknown) {
    this.#value = typeof saved === 'number' && saved >= 0 && saved <= 1 ? saved : prior
  }

  get value(): number {
    return this.#value
  }

  observe(right: boolean): void {
    this.#value += ((right ? 1 : 0) - this.#value) / rateMemory
  }
}

// Of what two guesses would tell of one another that have nothing in common, so much is left: both fail at the same prompts.
const independence = 0.5
// Two that are both wrong agree as if there were so many other words: ln 4.5.
const logOthers = 1.5

/** What similar prompts say for a token that a lookahead has seen, or against it, in log-odds. */
function confirmation(token: number, expected: ExpectedToken | undefined): number {
  if (expected === undefined) return 0
  const evidence =
    expected.token === token
      ? Math.max(0, logit(expected.probability) + logOthers)
      : Math.log1p(-Math.min(0.99, expected.probability))
  return independence * evidence
}
