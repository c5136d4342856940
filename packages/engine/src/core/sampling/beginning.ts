import type { ConstraintState, TokenMask } from '../../api/constraint.ts'
import type { Vocabulary } from '../../api/vocabulary.ts'
import { maskOf } from './token-mask.ts'

/**
 * A reply that begins with a given text, whatever its tokens: the first ones are those that the text goes on with, or that
 * go on beyond it. Behind it everything may follow.
 */
export class Beginning implements ConstraintState {
  readonly #text: Uint8Array
  readonly #vocabulary: Vocabulary
  /** Bytes of the reply so far after each of its tokens; more than the text has once it is said. */
  readonly #reached: number[]
  #mask: { readonly at: number; readonly mask: TokenMask | undefined } | undefined

  /** @param text UTF-8 */
  constructor(text: Uint8Array, vocabulary: Vocabulary, reached: readonly number[] = []) {
    this.#text = text
    this.#vocabulary = vocabulary
    this.#reached = [...reached]
  }

  mask(): TokenMask | undefined {
    const at = this.#at
    if (at >= this.#text.length) return undefined
    if (this.#mask?.at !== at) this.#mask = { at, mask: this.#maskAt(at) }
    return this.#mask.mask
  }

  forced(): readonly number[] {
    return []
  }

  advance(token: number): void {
    this.#reached.push(this.#at + this.#vocabulary.bytesOf(token).length)
  }

  rollback(count: number): void {
    this.#reached.length -= count
  }

  fork(): ConstraintState {
    return new Beginning(this.#text, this.#vocabulary, this.#reached)
  }

  get #at(): number {
    return this.#reached.at(-1) ?? 0
  }

  /** Undefined where no token begins like the text: then it cannot be said, and nothing is asked. */
  #maskAt(at: number): TokenMask | undefined {
    const rest = this.#text.subarray(at)
    const fitting = byFirstByte(this.#vocabulary)[rest[0]!]!.filter((token) => {
      const bytes = this.#vocabulary.bytesOf(token)
      const both = Math.min(bytes.length, rest.length)
      for (let i = 1; i < both; i++) if (bytes[i] !== rest[i]) return false
      return true
    })
    return fitting.length === 0 ? undefined : maskOf(fitting, this.#vocabulary.size)
  }
}

const indexes = new WeakMap<Vocabulary, readonly (readonly number[])[]>()

function byFirstByte(vocabulary: Vocabulary): readonly (readonly number[])[] {
  const known = indexes.get(vocabulary)
  if (known) return known
  const index: number[][] = Array.from({ length: 256 }, () => [])
  for (let token = 0; token < vocabulary.size; token++) {
    const first = vocabulary.bytesOf(token)[0]
    if (first !== undefined) index[first]!.push(token)
  }
  indexes.set(vocabulary, index)
  return index
}
