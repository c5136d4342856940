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
    const fitting = candidates(this.#vocabulary, rest).filter((token) => {
      const bytes = this.#vocabulary.bytesOf(token)
      const both = Math.min(bytes.length, rest.length)
      for (let i = 2; i < both; i++) if (bytes[i] !== rest[i]) return false
      return true
    })
    return fitting.length === 0 ? undefined : maskOf(fitting, this.#vocabulary.size)
  }
}

const indexes = new WeakMap<Vocabulary, ReadonlyMap<number, readonly number[]>>()

/** Tokens that agree with a text in their first two bytes, as far as both have so many. */
function candidates(vocabulary: Vocabulary, [first, second]: Uint8Array): number[] {
  const index = indexes.get(vocabulary) ?? indexed(vocabulary)
  indexes.set(vocabulary, index)
  const begin = first! << 8
  if (second !== undefined) return [...(index.get(begin | second) ?? []), ...(index.get(~begin) ?? [])]
  return Array.from({ length: 256 }, (_, any) => index.get(begin | any) ?? [])
    .flat()
    .concat(index.get(~begin) ?? [])
}

/** Tokens by their first two bytes; those of one byte by the complement of that. */
function indexed(vocabulary: Vocabulary): Map<number, number[]> {
  const index = new Map<number, number[]>()
  for (let token = 0; token < vocabulary.size; token++) {
    const [first, second] = vocabulary.bytesOf(token)
    if (first === undefined) continue
    const begin = second === undefined ? ~(first << 8) : (first << 8) | second
    const there = index.get(begin)
    if (there) there.push(token)
    else index.set(begin, [token])
  }
  return index
}
