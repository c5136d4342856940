import type { HeadGuess } from '../core/executor.ts'
import type { Acceptances } from './acceptances.ts'
import type { Acceptance, CommittedText, Draft, Proposer } from './proposer.ts'

interface HeadsDraft extends Draft {
  readonly acceptances: readonly Acceptance[]
}

/** Heads as a proposer of one sequence. */
export class HeadsProposer implements Proposer<HeadsDraft> {
  readonly name = 'heads'
  readonly #guess: (index: number) => readonly HeadGuess[] | undefined
  readonly #acceptances: Acceptances
  readonly #kind: string
  readonly #ends: (token: number) => boolean

  /**
   * @param guess what the heads hold for likely after the token that follows token `index`; undefined where its state is
   *   not known
   * @param kind of request, as in `Acceptances`
   * @param ends true for tokens that end a reply: a draft stops before them
   */
  constructor(
    guess: (index: number) => readonly HeadGuess[] | undefined,
    acceptances: Acceptances,
    kind: string,
    ends: (token: number) => boolean,
  ) {
    this.#guess = guess
    this.#acceptances = acceptances
    this.#kind = kind
    this.#ends = ends
  }

  propose({ committed }: CommittedText): HeadsDraft | undefined {
    // The row of that token decided the last one; the first head guesses what comes after that.
    const guesses = [...(this.#guess(committed - 2) ?? [])]
    const end = guesses.findIndex(({ token }) => this.#ends(token))
    if (end >= 0) guesses.length = end
    if (guesses.length === 0) return undefined
    const acceptances = guesses.map(({ survival }, head) => this.#acceptance(head, survival))
    return {
      source: 'heads',
      tokens: guesses.map(({ token }) => token),
      confidences: acceptances.map((acceptance) => acceptance.at(0)),
      acceptances,
    }
  }

  learn({ acceptances }: HeadsDraft, offered: number, right: number): void {
    for (let i = 0; i < offered && i <= right; i++) acceptances[i]!.observe(1, i < right ? 1 : 0)
  }

  /** How often guesses of this head that were so sure were right: what the file says, until it was counted here. */
  #acceptance(head: number, survival: number): Acceptance {
    const step = Math.floor(10 * Math.min(survival, 0.99))
    return this.#acceptances.of('heads', this.#kind, (step + 0.5) / 10, `${head} ${step}`)
  }
}
