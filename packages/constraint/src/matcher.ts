import type { Vocabulary } from './vocabulary.ts'
import type { Instance } from './wasm.ts'

/** What the matchers of one vocabulary share. */
export interface MatcherParts {
  readonly instance: Instance
  readonly vocabulary: Vocabulary
  /** Tokens that end a text; llguidance knows the first of them only. */
  readonly endTokens: readonly number[]
}

const words = (vocabulary: Vocabulary) => Math.ceil(vocabulary.size / 32)
const discarded = new FinalizationRegistry<{ instance: Instance; handle: number }>(({ instance, handle }) => {
  if (!instance.broken) instance.exports.discard(handle)
})

/**
 * A text under a constraint: what may follow, forwards and backwards. Its native part is freed with it.
 * @throws ConstraintError from every method, when llguidance fails
 */
export class Matcher {
  readonly #parts: MatcherParts
  readonly #handle: number
  readonly #mask: Uint32Array
  #valid = false
  /** Tokens that end the text, at its end: llguidance takes none where nothing can follow anyway. */
  #ends: number

  constructor(parts: MatcherParts, handle: number, ends = 0) {
    this.#ends = ends
    this.#parts = parts
    this.#handle = handle
    this.#mask = new Uint32Array(words(parts.vocabulary))
    discarded.register(this, { instance: parts.instance, handle })
  }

  /** Tokens that may follow, a bit each: bit t % 32 of word t / 32. Valid until the text moves. */
  mask(): Uint32Array {
    if (this.#valid) return this.#mask
    const { instance, endTokens } = this.#parts
    const size = 4 * this.#mask.length
    if (this.#ends > 0) this.#mask.fill(0)
    else {
      instance.withBytes(new Uint8Array(size), (pointer) => {
        instance.call((exports) => exports.mask(this.#handle, pointer))
        new Uint8Array(this.#mask.buffer).set(instance.bytes(pointer, size))
      })
    }
    const [end, ...others] = endTokens
    const ends = this.#ends > 0 || (end !== undefined && ((this.#mask[end >> 5]! >> (end & 31)) & 1) === 1)
    for (const other of this.#ends > 0 ? endTokens : others) {
      if (ends) this.#mask[other >> 5]! |= 1 << (other & 31)
      else this.#mask[other >> 5]! &= ~(1 << (other & 31))
    }
    this.#valid = true
    return this.#mask
  }

  /** Tokens that must follow: each the only one allowed in its place, at most `most` of them. */
  forced(most = 32): readonly number[] {
    const tokens: number[] = []
    for (let only = onlyToken(this.mask()); only !== undefined && tokens.length < most; only = onlyToken(this.mask())) {
      if (this.#parts.endTokens.includes(only)) break
      this.advance(only)
      tokens.push(only)
    }
    if (tokens.length > 0) this.rollback(tokens.length)
    return tokens
  }

  /** The text goes on with this token, which the mask allows. */
  advance(token: number): void {
    const { instance, endTokens } = this.#parts
    this.#valid = false
    if (endTokens.includes(token)) this.#ends++
    else instance.call((exports) => exports.advance(this.#handle, token))
  }

  /** Takes the last `count` tokens back. */
  rollback(count: number): void {
    this.#valid = false
    const ends = Math.min(count, this.#ends)
    this.#ends -= ends
    if (count > ends) this.#parts.instance.call((exports) => exports.rollback(this.#handle, count - ends))
  }

  /** A text of its own at the same place. */
  fork(): Matcher {
    const { instance } = this.#parts
    return new Matcher(
      this.#parts,
      instance.call((exports) => exports.fork(this.#handle)),
      this.#ends,
    )
  }

  /** Whether the text may end here, and whether it must. */
  get ending(): 'no' | 'may' | 'must' {
    const ending = this.#parts.instance.call((exports) => exports.ending(this.#handle))
    return ending === 2 ? 'must' : ending === 1 ? 'may' : 'no'
  }
}

/** The one token of a mask with one; undefined for any other. */
function onlyToken(mask: Uint32Array): number | undefined {
  let found: number | undefined
  for (const [index, word] of mask.entries()) {
    if (word === 0) continue
    if (found !== undefined || (word & (word - 1)) !== 0) return undefined
    found = 32 * index + (31 - Math.clz32(word))
  }
  return found
}
