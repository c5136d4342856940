import { ConstraintError } from './constraint-error.ts'
import type { Machine } from './machine.ts'
import type { Source } from './source.ts'
import type { Exports, Instance } from './wasm.ts'

/** A native part that nobody can reach any more. */
interface Discarded {
  readonly machine: Machine
  readonly source: Source
  readonly instance: Instance
  readonly handle: number
}
const discarded = new FinalizationRegistry<Discarded>(({ machine, instance, handle, source }) =>
  machine.release(instance, handle, source, true),
)

/**
 * A text under a constraint: what may follow, forwards and backwards.
 * @throws ConstraintError from every method, when llguidance fails
 */
export class Matcher implements Disposable {
  readonly #machine: Machine
  readonly #source: Source
  /** Of the text, without those that end it. */
  readonly #tokens: number[]
  readonly #mask: Uint32Array
  #instance: Instance
  #handle: number
  /** llguidance failed, or the matcher was disposed. */
  #over: string | undefined
  #valid = false
  /** Tokens that end the text, at its end: llguidance takes none where nothing can follow anyway. */
  #ends: number

  constructor(machine: Machine, source: Source, handle: number, tokens: readonly number[] = [], ends = 0) {
    this.#machine = machine
    this.#source = source
    this.#instance = machine.instance
    this.#handle = handle
    this.#tokens = [...tokens]
    this.#ends = ends
    this.#mask = new Uint32Array(Math.ceil(machine.vocabulary.size / 32))
    this.#watch()
  }

  /** Tokens that may follow, a bit each: bit t % 32 of word t / 32. Valid until the text moves. */
  mask(): Uint32Array {
    if (this.#valid) return this.#mask
    const { endTokens } = this.#machine
    const size = 4 * this.#mask.length
    if (this.#ends > 0) this.#mask.fill(0)
    else {
      this.#native((exports, handle, instance) =>
        instance.withBytes(new Uint8Array(size + 4), (pointer) => {
          const result = exports.mask(handle, pointer)
          if (result >= 0) new Uint8Array(this.#mask.buffer).set(instance.bytes(pointer, size))
          return result
        }),
      )
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

  /**
   * Tokens that must follow, at most `most` of them: the mask allows only the first one. Empty where there is a choice, and
   * for a vocabulary that does not tokenize.
   */
  forced(most = 64): readonly number[] {
    if (this.#ends > 0) return []
    let tokens: readonly number[] = []
    this.#native((exports, handle, instance) =>
      instance.withBytes(new Uint8Array(4 * most), (pointer) => {
        const count = exports.forced(handle, pointer, most)
        const bytes = instance.bytes(pointer, 4 * Math.max(0, count)).slice()
        tokens = [...new Uint32Array(bytes.buffer)]
        return count
      }),
    )
    return tokens
  }

  /** How many of these tokens may follow in a row. */
  allowedLength(tokens: readonly number[]): number {
    let advanced = 0
    try {
      for (const [place, token] of tokens.entries()) {
        if (!this.#allows(token)) return place
        if (place + 1 === tokens.length) break
        this.advance(token)
        advanced++
      }
      return tokens.length
    } finally {
      if (advanced > 0) this.rollback(advanced)
    }
  }

  /** What the mask says of one token, without a mask where that can be. */
  #allows(token: number): boolean {
    const { endTokens } = this.#machine
    if (this.#valid || this.#ends > 0 || endTokens.includes(token)) {
      return ((this.mask()[token >> 5]! >> (token & 31)) & 1) === 1
    }
    const [forced] = this.forced(1)
    if (forced !== undefined) return forced === token
    const valid = this.#native((exports, handle, instance) =>
      instance.withBytes(new Uint8Array(Uint32Array.of(token).buffer), (pointer) =>
        exports.validate(handle, pointer, 1),
      ),
    )
    return valid === 1
  }

  /** The text goes on with this token, which the mask allows. */
  advance(token: number): void {
    this.#valid = false
    if (this.#machine.endTokens.includes(token)) {
      this.#ends++
      return
    }
    this.#native((exports, handle) => exports.advance(handle, token))
    this.#tokens.push(token)
  }

  /** Takes the last `count` tokens back. */
  rollback(count: number): void {
    this.#valid = false
    const ends = Math.min(count, this.#ends)
    this.#ends -= ends
    const inText = count - ends
    if (inText === 0) return
    this.#native((exports, handle) => exports.rollback(handle, inText))
    this.#tokens.length -= inText
  }

  /** A text of its own at the same place. */
  fork(): Matcher {
    const handle = this.#native((exports, handle) => exports.fork(handle))
    this.#machine.copied()
    return new Matcher(this.#machine, this.#source, handle, this.#tokens, this.#ends)
  }

  /** Whether the text may end here, and whether it must. */
  get ending(): 'no' | 'may' | 'must' {
    const ending = this.#native((exports, handle) => exports.ending(handle))
    return ending === 2 ? 'must' : ending === 1 ? 'may' : 'no'
  }

  /** The text is over: what was compiled for it is there for the next one. */
  [Symbol.dispose](): void {
    const failed = this.#over !== undefined
    let spoilt = failed
    try {
      if (!failed && this.#tokens.length > 0)
        this.#native(({ rollback }, handle) => rollback(handle, this.#tokens.length))
    } catch {
      spoilt = true
    }
    discarded.unregister(this)
    this.#machine.release(this.#instance, this.#handle, this.#source, spoilt)
    this.#over = 'the matcher was disposed'
    this.#valid = false
    this.#ends = 0
  }

  /** Does something in the instance of now, where the text is brought first if that is another one than before. */
  #native(act: (exports: Exports, handle: number, instance: Instance) => number): number {
    if (this.#over !== undefined) throw new ConstraintError(this.#over)
    try {
      const { instance } = this.#machine
      if (instance !== this.#instance) this.#move(instance)
      return instance.call((exports) => act(exports, this.#handle, instance))
    } catch (error) {
      this.#over = error instanceof Error ? error.message : String(error)
      this.#valid = false
      throw error
    }
  }

  #move(instance: Instance): void {
    this.#handle = this.#machine.compiled(this.#source)
    this.#instance = instance
    this.#watch()
    for (const token of this.#tokens) instance.call(({ advance }) => advance(this.#handle, token))
  }

  #watch(): void {
    discarded.unregister(this)
    const parts = { machine: this.#machine, source: this.#source }
    discarded.register(this, { ...parts, instance: this.#instance, handle: this.#handle }, this)
  }
}
