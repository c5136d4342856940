import { type CommittedText, type Draft, maxDraft, type Proposer } from './proposer.ts'

/** Proposes what the request's constraint forces. It is always right, and costs no look at the model. */
export class GrammarProposer implements Proposer {
  readonly name = 'grammar'
  readonly #forced: (text: CommittedText) => readonly number[]
  readonly #ends: (token: number) => boolean

  /**
   * @param forced tokens that must follow the committed text
   * @param ends true for tokens that end a reply: a draft stops before them
   */
  constructor(forced: (text: CommittedText) => readonly number[], ends: (token: number) => boolean) {
    this.#forced = forced
    this.#ends = ends
  }

  propose(text: CommittedText): Draft | undefined {
    const forced = this.#forced(text).slice(0, maxDraft)
    const end = forced.findIndex(this.#ends)
    const guess = end < 0 ? forced : forced.slice(0, end)
    if (guess.length === 0) return undefined
    return { source: 'grammar', tokens: guess, confidences: guess.map(() => 1) }
  }

  /** Nothing: what is forced needs no statistics. */
  learn(): void {}
}
