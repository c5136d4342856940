import { Acceptance, type Draft } from './proposer.ts'

// A match of two tokens is often chance; four say as much as a longer one. (Prompt lookup decoding, Saxena 2023.)
const shortestMatch = 2
const longestMatch = 4
const longestDraft = 8

export interface LookupDraft extends Draft {
  /** How many of the last tokens stood there before: the statistics are kept per match length. */
  readonly match: number
}

/**
 * Prompt lookup: the text repeats itself. Finds the most recent earlier place where the last few tokens stood and
 * proposes what followed there. One index per sequence; costs microseconds per token.
 */
export class LookupIndex {
  /** Per match length: hash of an n-gram to the index after its most recent place. A hit is compared, not trusted. */
  readonly #places = new Map<number, Map<number, number>>()
  #indexed = 0

  constructor() {
    for (let size = shortestMatch; size <= longestMatch; size++) this.#places.set(size, new Map())
  }

  /**
   * The draft for what follows `tokens`, or undefined. Between calls tokens are only appended.
   * @param acceptance from `lookupAcceptance()`, shared by all sequences of an engine
   * @param ends true for tokens that end a reply: a draft stops before them
   */
  propose(
    tokens: readonly number[],
    acceptance: readonly Acceptance[],
    ends: (token: number) => boolean,
  ): LookupDraft | undefined {
    // The n-gram at the very end is what we search for: it is indexed by the next call.
    this.#index(tokens, tokens.length - 1)
    for (let match = Math.min(longestMatch, tokens.length - 1); match >= shortestMatch; match--) {
      const place = this.#places.get(match)!.get(hash(tokens, tokens.length, match))
      if (place === undefined || !same(tokens, place, tokens.length, match)) continue
      const guess = tokens.slice(place, place + longestDraft)
      const end = guess.findIndex(ends)
      if (end >= 0) guess.length = end
      if (guess.length === 0) continue
      return { source: 'lookup', tokens: guess, confidences: guess.map((_, i) => acceptance[match]!.at(i)), match }
    }
    return undefined
  }

  #index(tokens: readonly number[], end: number): void {
    for (let i = this.#indexed + 1; i <= end; i++) {
      for (const [size, places] of this.#places) if (size <= i) places.set(hash(tokens, i, size), i)
    }
    this.#indexed = Math.max(this.#indexed, end)
  }
}

/** Acceptance statistics per match length, with the measured beginnings of docs/benchmarks.md as priors. */
export function lookupAcceptance(): Acceptance[] {
  return Array.from({ length: longestMatch + 1 }, (_, size) => new Acceptance(size >= 3 ? 0.6 : 0.4))
}

function hash(tokens: readonly number[], end: number, size: number): number {
  let value = 0x811c9dc5
  for (let i = end - size; i < end; i++) value = Math.imul(value ^ tokens[i]!, 0x01000193) + (value >>> 15)
  return value | 0
}

function same(tokens: readonly number[], a: number, b: number, size: number): boolean {
  for (let i = 1; i <= size; i++) if (tokens[a - i] !== tokens[b - i]) return false
  return true
}
