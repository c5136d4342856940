import type { ConstraintState, TokenMask } from '../api/constraint.ts'
import type { ReasoningMarkers } from '../api/reasoning.ts'
import { allows } from '../core/sampling/token-mask.ts'
import type { Tokenizer } from '../text/tokenizer.ts'

/** What of a vocabulary matters for reasoning; made once for a model. */
export class ReasoningTokens {
  readonly markers: ReasoningMarkers
  /** All tokens but those that end a reply. */
  readonly all: TokenMask
  /** Tokens of white space. */
  readonly blank: TokenMask
  readonly #vocabulary: Pick<Tokenizer, 'size' | 'bytesOf' | 'specialText'>
  readonly #opening = new Map<number, TokenMask>()

  constructor(
    markers: ReasoningMarkers,
    vocabulary: Pick<Tokenizer, 'size' | 'bytesOf' | 'specialText'> & { readonly endTokens: readonly number[] },
  ) {
    this.markers = markers
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

/** Most tokens of white space between reasoning and answer. Where any number is allowed, a small model says no end of them. */
const maxBlanks = 2

type Place =
  /** Nothing was said yet, and reasoning may begin. */
  | 'start'
  /** So much of the start marker was said. */
  | { readonly opening: number }
  /** In the reasoning; the last characters of it, where the end marker may have begun. */
  | { readonly reasoning: string }
  /** Behind the end marker, and so many tokens of white space. */
  | { readonly blanks: number }
  | 'constrained'

/**
 * A constraint that holds for the answer and not for the reasoning before it. The reply does not end in its reasoning.
 */
export class AfterReasoning implements ConstraintState {
  readonly #inner: ConstraintState
  readonly #tokens: ReasoningTokens
  /** Where it stood before each token of the reply, and where it stands. */
  readonly #places: Place[]

  /** @param from where the prompt leaves the model */
  constructor(inner: ConstraintState, tokens: ReasoningTokens, from: 'open' | 'optional' | readonly Place[]) {
    this.#inner = inner
    this.#tokens = tokens
    this.#places = from === 'open' ? [{ reasoning: '' }] : from === 'optional' ? ['start'] : [...from]
  }

  mask(): TokenMask | undefined {
    const place = this.#place
    if (place === 'constrained') return this.#inner.mask()
    if (place !== 'start' && 'blanks' in place) {
      return place.blanks < maxBlanks ? union(this.#inner.mask(), this.#tokens.blank) : this.#inner.mask()
    }
    if (place === 'start') return union(this.#inner.mask(), this.#tokens.opening(0))
    return 'opening' in place ? this.#tokens.opening(place.opening) : this.#tokens.all
  }

  forced(): readonly number[] {
    return this.#place === 'constrained' ? this.#inner.forced() : []
  }

  allowedLength(tokens: readonly number[]): number {
    let length = 0
    try {
      for (; length < tokens.length; length++) {
        if (this.#place === 'constrained' && this.#inner.allowedLength) {
          return length + this.#inner.allowedLength(tokens.slice(length))
        }
        const token = tokens[length]!
        if (!allows(this.mask(), token)) break
        this.advance(token)
      }
      return length
    } finally {
      this.rollback(length)
    }
  }

  advance(token: number): void {
    const next = this.#next(token)
    if (next === 'constrained') this.#inner.advance(token)
    this.#places.push(next)
  }

  rollback(count: number): void {
    const taken = this.#places.splice(this.#places.length - count)
    const inner = taken.filter((place) => place === 'constrained').length
    if (inner > 0) this.#inner.rollback(inner)
  }

  fork(): ConstraintState {
    return new AfterReasoning(this.#inner.fork(), this.#tokens, this.#places)
  }

  [Symbol.dispose](): void {
    this.#inner[Symbol.dispose]?.()
  }

  get #place(): Place {
    return this.#places.at(-1)!
  }

  #next(token: number): Place {
    const place = this.#place
    if (place === 'constrained') return place
    const text = this.#tokens.textOf(token)
    if (place !== 'start' && 'blanks' in place) {
      const blank = place.blanks < maxBlanks && text !== '' && text.trim() === ''
      return blank ? { blanks: place.blanks + 1 } : 'constrained'
    }
    const { start, end } = this.#tokens.markers
    if (place === 'start' || 'opening' in place) {
      const said = place === 'start' ? 0 : place.opening
      // What the constraint allows goes first: a text may begin like the marker.
      if (said === 0 && allows(this.#inner.mask(), token)) return 'constrained'
      if (said + text.length < start.length) return { opening: said + text.length }
      return { reasoning: text.slice(start.length - said) }
    }
    const together = place.reasoning + text
    return together.includes(end) ? { blanks: 0 } : { reasoning: together.slice(1 - end.length) }
  }
}

function union(a: TokenMask | undefined, b: TokenMask): TokenMask | undefined {
  return a?.map((word, i) => word | b[i]!)
}
