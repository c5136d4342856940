import type { ProposerName } from '../api/proposer-names.ts'

/** A chain of guesses is no longer: even at 95% each, what follows survives in two of three cases only. */
export const maxDraft = 8

/** Guesses for the tokens that follow the committed text. */
export interface Draft {
  readonly source: ProposerName
  readonly tokens: readonly number[]
  /** Per token: calibrated probability that it is right, given that those before it are. */
  readonly confidences: readonly number[]
}

/** What a proposer is asked about. A sequence of the core is one as it is. */
export interface CommittedText {
  /** tokens[0, committed) never change; a proposer looks no further. */
  readonly tokens: readonly number[]
  readonly committed: number
  /** How many of them are the prompt. When that is all, the reply's first token is wanted. */
  readonly prompt: number
}

/**
 * One way to guess what follows, for one sequence: what the sequences of an engine share (counts, matrices) is handed to
 * the constructor. Before a step the engine asks for a draft, admits a part of it or nothing, and later says what became
 * of that part. Between two calls the committed text only grows.
 */
export interface Proposer<D extends Draft = Draft> {
  readonly name: ProposerName
  /** A draft for tokens[committed] and on, or undefined. It is never empty. */
  propose(text: CommittedText): D | undefined
  /**
   * Of a draft that `propose` gave, the first `offered` tokens were verified or withdrawn; `right` of them were
   * confirmed. A token after a wrong one was never verified.
   */
  learn(draft: D, offered: number, right: number): void
  /** The reply is complete, committed to its last token. Only for proposers that learn from whole replies. */
  finished?(text: CommittedText): void
}

/** How often drafts were right at one position, if those before it were. */
interface Count {
  tried: number
  right: number
}

/**
 * Acceptance counted while serving, per position of a draft: the probability that it is right if those before it were.
 * Old drafts fade.
 */
export class Acceptance {
  readonly #prior: number | Acceptance
  readonly #positions: Count[]
  // The prior counts as this many drafts, and older drafts fade so that about this many more are remembered.
  static readonly #weight = 4
  static readonly #memory = 200

  /**
   * @param prior acceptance assumed before anything was counted: a number, or that of a wider class, which then learns
   *   from every draft of this one
   * @param counts what an earlier one counted (`counts`), as [tried, right] per position
   */
  constructor(prior: number | Acceptance, counts: readonly (readonly [number, number])[] = []) {
    this.#prior = prior
    this.#positions = counts.map(([tried, right]) => ({ tried, right }))
  }

  /** A draft of `length` tokens ended with `right` of them confirmed. */
  observe(length: number, right: number): void {
    for (let i = 0; i < length && i <= right; i++) {
      this.#positions[i] ??= { tried: 0, right: 0 }
      const position = this.#positions[i]!
      position.tried++
      if (i < right) position.right++
      if (position.tried > Acceptance.#memory) {
        position.tried /= 2
        position.right /= 2
      }
    }
    if (this.#prior instanceof Acceptance) this.#prior.observe(length, right)
  }

  at(index: number): number {
    const { tried, right } = this.#positions[index] ?? { tried: 0, right: 0 }
    const prior = this.#prior instanceof Acceptance ? this.#prior.at(index) : this.#prior
    return (right + Acceptance.#weight * prior) / (tried + Acceptance.#weight)
  }

  /** What was counted, for the constructor of a later one. */
  get counts(): (readonly [tried: number, right: number])[] {
    return this.#positions.map(({ tried, right }) => [tried, right] as const)
  }
}
