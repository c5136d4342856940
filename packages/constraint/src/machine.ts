import type { Source } from './source.ts'
import type { Vocabulary } from './vocabulary.ts'
import { Instance } from './wasm.ts'

const kinds = { schema: 0, lark: 1, regex: 2 } as const

/** Matchers that are kept for the next text of their kind: they know their automaton already. */
const maxIdle = 32
/** An instance that has grown so far is replaced by a new one: its memory never shrinks. */
const maxBytes = 256 * 2 ** 20

/**
 * llguidance for one vocabulary, in an instance of WebAssembly. When that traps, or has grown too large, another one takes
 * its place, and matchers go on there: each knows its source and its tokens. Matchers at their beginning that nobody uses
 * wait for the next text of their kind.
 */
export class Machine {
  readonly vocabulary: Vocabulary
  /** Tokens that end a text; llguidance knows the first of them only. */
  readonly endTokens: readonly number[]
  #instance: Instance
  /** Compiled and at their beginning, by source, the one longest unused first. */
  readonly #idle = new Map<string, number[]>()
  #idleCount = 0
  #live = 0

  constructor(vocabulary: Vocabulary) {
    this.vocabulary = vocabulary
    this.endTokens = [...tokensOf(vocabulary)].filter((token) => vocabulary.isEndOfGeneration(token))
    this.#instance = this.#begin()
  }

  /** What runs now. */
  get instance(): Instance {
    if (this.#instance.broken) this.#replace()
    return this.#instance
  }

  /** Bytes that llguidance holds. */
  get size(): number {
    return this.#instance.size
  }

  /** A handle at the beginning of a text, in the instance of now. */
  compiled(source: Source): number {
    const { instance } = this
    const key = keyOf(source)
    const idle = this.#idle.get(key)
    if (idle) {
      const handle = idle.pop()!
      this.#idleCount--
      this.#idle.delete(key)
      if (idle.length > 0) this.#idle.set(key, idle)
      this.#live++
      return handle
    }
    const bytes = new TextEncoder().encode(source.text)
    const handle = instance.withBytes(bytes, (at) =>
      instance.call(({ compile }) => compile(kinds[source.kind], at, bytes.length)),
    )
    this.#live++
    return handle
  }

  /** A handle that nobody uses any more. It is at the beginning again, or `spoilt`. */
  release(instance: Instance, handle: number, source: Source, spoilt: boolean): void {
    if (instance !== this.#instance || instance.broken) return
    this.#live--
    if (spoilt) instance.exports.discard(handle)
    else this.#keep(handle, keyOf(source))
    if (instance.size > (this.#live === 0 ? maxBytes : 4 * maxBytes)) this.#replace()
  }

  /** A copy was made of a handle. */
  copied(): void {
    this.#live++
  }

  #keep(handle: number, key: string): void {
    const idle = this.#idle.get(key) ?? []
    this.#idle.delete(key)
    this.#idle.set(key, [...idle, handle])
    if (++this.#idleCount <= maxIdle) return
    const [oldest, handles] = [...this.#idle][0]!
    this.#instance.exports.discard(handles.shift()!)
    this.#idleCount--
    if (handles.length === 0) this.#idle.delete(oldest)
  }

  #replace(): void {
    this.#instance = this.#begin()
    this.#idle.clear()
    this.#idleCount = 0
    this.#live = 0
  }

  #begin(): Instance {
    const { vocabulary, endTokens } = this
    const instance = new Instance(vocabulary.tokenize && remembering((text) => vocabulary.tokenize!(text)))
    const pieces = [...tokensOf(vocabulary)].map((token) => piece(vocabulary.bytesOf(token), token))
    // llguidance wants a token that ends a text, also where the model has none.
    const end = endTokens[0] ?? vocabulary.size
    if (end === vocabulary.size) pieces.push(piece(new Uint8Array(), end))
    const all = Buffer.concat(pieces)
    const lengths = new Uint32Array(pieces.map(({ length }) => length))
    instance.withBytes(all, (at) =>
      instance.withBytes(new Uint8Array(lengths.buffer), (lengthsAt) =>
        instance.call(({ initialise }) =>
          initialise(at, all.length, lengthsAt, pieces.length, end, vocabulary.tokenize ? 1 : 0),
        ),
      ),
    )
    return instance
  }
}

/** Forced texts that are remembered with their tokens: the names in a schema come again with every reply. */
const maxTexts = 2000

function remembering(tokenize: (text: string) => readonly number[]): (text: string) => readonly number[] {
  const known = new Map<string, readonly number[]>()
  return (text) => {
    let tokens = known.get(text)
    if (tokens === undefined) {
      tokens = tokenize(text)
      if (known.size >= maxTexts) known.clear()
      known.set(text, tokens)
    }
    return tokens
  }
}

function* tokensOf({ size }: Vocabulary): Iterable<number> {
  for (let token = 0; token < size; token++) yield token
}

/** A control token gets a name that no text has: 0xff is no byte of UTF-8. */
function piece(bytes: Uint8Array, token: number): Uint8Array {
  return bytes.length > 0 ? bytes : Buffer.concat([Uint8Array.of(0xff), Buffer.from(`[${token}]`)])
}

function keyOf({ kind, text }: Source): string {
  return `${kind} ${text}`
}
