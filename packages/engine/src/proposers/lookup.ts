import { Acceptances } from './acceptances.ts'
import { type Acceptance, type CommittedText, type Draft, maxDraft, type Proposer } from './proposer.ts'
import { SuffixIndex } from './suffix.ts'

// A match of one token is mostly chance. (Prompt lookup decoding, Saxena 2023, uses up to three.)
const minMatch = 2

/**
 * Match lengths that are judged together, each from its least length on. Priors: about the shares of first tokens that
 * were right in 322 greedy replies of SmolLM2-135M to Spec-Bench and HumanEval prompts (48 tokens each; 2,137 drafts,
 * 2.2 tokens right per draft). Tokens after a right one were right in 65 to 95%.
 */
const buckets = [
  { from: 2, name: '2', prior: 0.5 },
  { from: 3, name: '3', prior: 0.6 },
  { from: 4, name: '4-5', prior: 0.6 },
  { from: 6, name: '6-8', prior: 0.7 },
  { from: 9, name: '9+', prior: 0.85 },
] as const
const maxBucket = buckets.at(-1)!.from

export interface LookupDraft extends Draft {
  /** How many of the last tokens stood there before, at most 9: index of the acceptance that judges the draft. */
  readonly match: number
}

/**
 * Prompt lookup: the text repeats itself. Finds the longest match of its end with an earlier part, of these the most
 * recent, and proposes what followed there. One index per sequence: 5 microseconds per token and draft, memory as said
 * in suffix.ts.
 */
export class LookupIndex {
  readonly #index = new SuffixIndex()

  /**
   * The draft for what follows `tokens`, or undefined. Between calls tokens are only appended.
   * @param acceptance from `lookupAcceptance()`, shared by all sequences of an engine
   * @param ends true for tokens that end a reply: a draft stops before them
   * @param length number of tokens that count
   */
  propose(
    tokens: readonly number[],
    acceptance: readonly Acceptance[],
    ends: (token: number) => boolean,
    length = tokens.length,
  ): LookupDraft | undefined {
    while (this.#index.length < length) this.#index.push(tokens[this.#index.length]!)
    for (const { length: found, place } of this.#index.matches()) {
      if (found < minMatch) return undefined
      const guess = copy(tokens, place, length, ends)
      if (guess.length === 0) continue
      const match = Math.min(found, maxBucket)
      return { source: 'lookup', tokens: guess, confidences: guess.map((_, i) => acceptance[match]!.at(i)), match }
    }
    return undefined
  }
}

/** Lookup as a proposer of one sequence. */
export class Lookup implements Proposer<LookupDraft> {
  readonly name = 'lookup'
  readonly #index = new LookupIndex()
  readonly #acceptance: readonly Acceptance[]
  readonly #ends: (token: number) => boolean

  /** See `LookupIndex.propose`. */
  constructor(acceptance: readonly Acceptance[], ends: (token: number) => boolean) {
    this.#acceptance = acceptance
    this.#ends = ends
  }

  propose({ tokens, committed }: CommittedText): LookupDraft | undefined {
    return this.#index.propose(tokens, this.#acceptance, this.#ends, committed)
  }

  learn({ match }: LookupDraft, offered: number, right: number): void {
    this.#acceptance[match]!.observe(offered, right)
  }
}

/** What stands from `place` on; a draft that reaches the end of the text goes on with its own beginning. */
function copy(tokens: readonly number[], place: number, end: number, ends: (token: number) => boolean): number[] {
  const guess: number[] = []
  for (let i = place; guess.length < maxDraft; i++) {
    const token = i < end ? tokens[i]! : guess[i - end]!
    if (ends(token)) break
    guess.push(token)
  }
  return guess
}

/** Acceptance by match length (2 to 9, where 9 stands for all longer ones) for one kind of request. */
export function lookupAcceptance(acceptances = new Acceptances(), kind = 'later'): Acceptance[] {
  const table: Acceptance[] = []
  for (const { from, name, prior } of buckets) {
    const acceptance = acceptances.of('lookup', kind, prior, name)
    for (let match = from; match <= maxBucket; match++) table[match] = acceptance
  }
  return table
}
