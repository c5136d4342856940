import type { ProposerName } from '../request.ts'

/** Guesses for the tokens that follow the committed text. */
export interface Draft {
  readonly source: ProposerName
  readonly tokens: readonly number[]
  /** Per token: calibrated probability that it is right, given that those before it are. */
  readonly confidences: readonly number[]
}

/** Acceptance counted while serving, per position of a draft: the probability that it is right if those before it were. */
export class Acceptance {
  readonly #positions: { tried: number; right: number }[] = []
  readonly #prior: number
  // The prior counts as this many drafts, and older drafts fade so that about this many more are remembered.
  static readonly #weight = 4
  static readonly #memory = 200

  /** @param prior acceptance assumed before anything was counted */
  constructor(prior: number) {
    this.#prior = prior
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
  }

  at(index: number): number {
    const { tried, right } = this.#positions[index] ?? { tried: 0, right: 0 }
    return (right + Acceptance.#weight * this.#prior) / (tried + Acceptance.#weight)
  }
}
