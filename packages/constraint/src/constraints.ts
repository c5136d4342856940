import { Matcher, type MatcherParts } from './matcher.ts'
import type { Declared, Vocabulary } from './vocabulary.ts'
import { ConstraintError, Instance } from './wasm.ts'

const kinds = { schema: 0, lark: 1, regex: 2 } as const

/** Compiles constraints for one vocabulary. Making one takes about 0.3 s and 30 MB for 50,000 tokens. */
export class Constraints {
  readonly #vocabulary: Vocabulary
  readonly #endTokens: readonly number[]
  #parts: MatcherParts

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary
    this.#endTokens = [...tokensOf(vocabulary)].filter((token) => vocabulary.isEndOfGeneration(token))
    this.#parts = this.#begin()
  }

  /**
   * @returns the beginning of a text that must look so
   * @throws ConstraintError for what cannot be compiled, with the reason
   */
  compile(declared: Declared): Matcher {
    // One that trapped takes no other constraint with it than those it had.
    if (this.#parts.instance.broken) this.#parts = this.#begin()
    const { instance } = this.#parts
    const [kind, source] = sourceOf(declared)
    const bytes = new TextEncoder().encode(source)
    const handle = instance.withBytes(bytes, (at) => instance.call(({ compile }) => compile(kind, at, bytes.length)))
    return new Matcher(this.#parts, handle)
  }

  #begin(): MatcherParts {
    const vocabulary = this.#vocabulary
    const instance = new Instance()
    const pieces = [...tokensOf(vocabulary)].map((token) => piece(vocabulary.bytesOf(token), token))
    const lengths = new Uint32Array(pieces.map(({ length }) => length))
    const end = this.#endTokens[0] ?? vocabulary.size
    // llguidance wants a token that ends a text, also where the model has none.
    const tokens = this.#endTokens.length > 0 ? vocabulary.size : vocabulary.size + 1
    const all = Buffer.concat(tokens > vocabulary.size ? [...pieces, piece(new Uint8Array(), end)] : pieces)
    const counts =
      tokens > vocabulary.size ? new Uint32Array([...lengths, piece(new Uint8Array(), end).length]) : lengths
    instance.withBytes(all, (at) =>
      instance.withBytes(new Uint8Array(counts.buffer), (lengthsAt) =>
        instance.call(({ initialise }) => initialise(at, all.length, lengthsAt, tokens, end)),
      ),
    )
    return { instance, vocabulary, endTokens: this.#endTokens }
  }
}

function* tokensOf({ size }: Vocabulary): Iterable<number> {
  for (let token = 0; token < size; token++) yield token
}

/** A control token gets a name that no text has: 0xff is no byte of UTF-8. */
function piece(bytes: Uint8Array, token: number): Uint8Array {
  return bytes.length > 0 ? bytes : Buffer.concat([Uint8Array.of(0xff), Buffer.from(`[${token}]`)])
}

function sourceOf(declared: Declared): [kind: number, source: string] {
  switch (declared.type) {
    case 'json_schema':
      return [kinds.schema, JSON.stringify(declared.schema)]
    case 'grammar':
      return [kinds.lark, declared.grammar]
    case 'regex':
      return [kinds.regex, declared.pattern]
    case 'choice':
      if (declared.choices.length === 0) throw new ConstraintError('a choice of nothing')
      return [kinds.lark, `start: ${declared.choices.map((choice) => JSON.stringify(choice)).join(' | ')}`]
  }
}
