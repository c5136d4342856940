import type { ConstraintState, TokenMask } from '../api/constraint.ts'
import type { ReasoningMarkers } from '../api/reasoning.ts'
import { allows, maskOf } from '../core/sampling/token-mask.ts'
import type { Tokenizer } from '../text/tokenizer.ts'

/** What of a vocabulary matters for reasoning; made once for a model. */
export class ReasoningTokens {
  readonly markers: ReasoningMarkers
  /** All tokens but those that end a reply. */
  readonly all: TokenMask
  /** Tokens of white space. */
  readonly blank: TokenMask
  /** The end marker. */
  readonly ending: readonly number[]
  readonly #vocabulary: Pick<Tokenizer, 'size' | 'bytesOf' | 'specialText'>
  readonly #opening = new Map<number, TokenMask>()

  /** @param ending the end marker as tokens in the middle of a text */
  constructor(
    markers: ReasoningMarkers,
    vocabulary: Pick<Tokenizer, 'size' | 'bytesOf' | 'specialText'> & { readonly endTokens: readonly number[] },
    ending: readonly number[],
  ) {
    this.markers = markers
    this.ending = ending
    this.#vocabulary = vocabulary
    this.all = new Uint32Array(Math.ceil(vocabulary.size / 32)).fill(0xffffffff)
    for (const token of vocabulary.endTokens) this.all[token >> 5]! &= ~(1 << (token & 31))
    this.blank = this.#those((text) => /^\s+$/.test(text))
  }

  /** Tokens that go on with the start marker, of which `said` characters were said. */
  opening(said: number): TokenMask {
    let mask = this.#opening.get(said)
    if (mask === undefined) {
      const rest = this.markers.start.slice(said)
      mask = this.#those((text) => rest.startsWith(text) || text.startsWith(rest))
      this.#opening.set(said, mask)
    }
    return mask
  }

  /** One token of the end marker alone. */
  endingAt(said: number): TokenMask {
    return maskOf([this.ending[said]!], this.#vocabulary.size)
  }

  /** The text of any token, control tokens included. */
  textOf(token: number): string {
    const bytes = this.#vocabulary.bytesOf(token)
    return bytes.length > 0 ? decoder.decode(bytes) : this.#vocabulary.specialText(token)
  }

  #those(fits: (text: string) => boolean): TokenMask {
    const mask: TokenMask = new Uint32Array(this.all.length)
    for (let token = 0; token < this.#vocabulary.size; token++) {
      const text = this.textOf(token)
      if (text !== '' && fits(text)) mask[token >> 5]! |= 1 << (token & 31)
    }
    return mask
  }
}

const decoder = new TextDecoder()

type Place =
  /** Nothing was said yet, and reasoning may begin. */
  | 'start'
  /** So much of the start marker was said. */
  | { readonly opening: number }
  /** In the reasoning: so many tokens of it, and its last characters, where the end marker may have begun. */
  | { readonly reasoning: string; readonly tokens: number }
  /** It was long enough: so many tokens of the end marker were said. */
  | { readonly ending: number }
  /** Behind the end marker, where white space may stand. */
  | 'after'
  | 'constrained'

/** The text ends inside a character. */
const insideCharacter = /\uFFFD$/
/** Behind the first token of a character there are at most so many more of it. */
const restOfCharacter = 3

export interface ReasoningTerms {
  /** What holds for the answer. Default: nothing. */
  readonly answer?: ConstraintState | undefined
  /**
   * Most tokens of reasoning: then its end marker follows, a few tokens later where a character would be cut. Default: as many
   * as there are.
   */
  readonly budget?: number | undefined
}

/**
 * A reply that may begin with reasoning. It may be bounded, and a constraint holds for the answer and not for the reasoning
 * before it; then the reply does not end in its reasoning either.
 */
export class AfterReasoning implements ConstraintState {
  readonly #answer: ConstraintState | undefined
  readonly #budget: number
  readonly #tokens: ReasoningTokens
  /** Where it stood before each token of the reply, and where it stands. */
  readonly #places: Place[]

  /** @param from where the prompt leaves the model */
  constructor(
    { answer, budget = Number.POSITIVE_INFINITY }: ReasoningTerms,
    tokens: ReasoningTokens,
    from: 'open' | 'optional' | readonly Place[],
  ) {
    this.#answer = answer
    this.#budget = budget
    this.#tokens = tokens
    this.#places = from === 'open' ? [this.#reasoning('', 0)] : from === 'optional' ? ['start'] : [...from]
  }

  mask(): TokenMask | undefined {
    const place = this.#place
    if (typeof place === 'object' && 'ending' in place) return this.#tokens.endingAt(place.ending)
    if (this.#answer === undefined) return undefined
    if (place === 'constrained') return this.#answer.mask()
    if (place === 'after') return union(this.#answer.mask(), this.#tokens.blank)
    if (place === 'start') return union(this.#answer.mask(), this.#tokens.opening(0))
    return 'opening' in place ? this.#tokens.opening(place.opening) : this.#tokens.all
  }

  forced(): readonly number[] {
    const place = this.#place
    if (typeof place === 'object' && 'ending' in place) return this.#tokens.ending.slice(place.ending)
    return place === 'constrained' && this.#answer ? this.#answer.forced() : []
  }

  allowedLength(tokens: readonly number[]): number {
    const before = this.#places.length
    let length = 0
    try {
      for (; length < tokens.length; length++) {
        if (this.#place === 'constrained') {
          if (this.#answer === undefined) return tokens.length
          if (this.#answer.allowedLength) return length + this.#answer.allowedLength(tokens.slice(length))
        }
        const token = tokens[length]!
        if (!allows(this.mask(), token)) break
        this.advance(token)
      }
      return length
    } finally {
      this.rollback(this.#places.length - before)
    }
  }

  advance(token: number): void {
    const next = this.#next(token)
    if (next === 'constrained') this.#answer?.advance(token)
    this.#places.push(next)
  }

  rollback(count: number): void {
    const taken = this.#places.splice(this.#places.length - count)
    const said = taken.filter((place) => place === 'constrained').length
    if (said > 0) this.#answer?.rollback(said)
  }

  fork(): ConstraintState {
    const answer = this.#answer?.fork()
    return new AfterReasoning({ answer, budget: this.#budget }, this.#tokens, this.#places)
  }

  [Symbol.dispose](): void {
    this.#answer?.[Symbol.dispose]?.()
  }

  get #place(): Place {
    return this.#places.at(-1)!
  }

  /** In the reasoning, or where it was long enough at its end marker. */
  #reasoning(text: string, tokens: number): Place {
    const over = tokens - this.#budget
    if (over >= restOfCharacter || (over >= 0 && !insideCharacter.test(text))) return { ending: 0 }
    return { reasoning: text, tokens }
  }

  #next(token: number): Place {
    const place = this.#place
    if (place === 'constrained') return place
    const text = this.#tokens.textOf(token)
    if (place === 'after') return text !== '' && text.trim() === '' ? 'after' : 'constrained'
    const { start, end } = this.#tokens.markers
    if (typeof place === 'object' && 'ending' in place) {
      return place.ending + 1 < this.#tokens.ending.length ? { ending: place.ending + 1 } : 'after'
    }
    if (place === 'start' || 'opening' in place) {
      const said = place === 'start' ? 0 : place.opening
      // What the constraint allows goes first: a text may begin like the marker.
      if (said === 0 && this.#answer && allows(this.#answer.mask(), token)) return 'constrained'
      if (said === 0 && !this.#answer && text.trim() === '') return 'start'
      const rest = start.slice(said)
      if (rest.length > text.length && rest.startsWith(text)) return { opening: said + text.length }
      return text.startsWith(rest) ? this.#reasoning(text.slice(rest.length), 0) : 'constrained'
    }
    const together = place.reasoning + text
    return together.includes(end) ? 'after' : this.#reasoning(together.slice(1 - end.length), place.tokens + 1)
  }
}

function union(a: TokenMask | undefined, b: TokenMask): TokenMask | undefined {
  return a?.map((word, i) => word | b[i]!)
}
