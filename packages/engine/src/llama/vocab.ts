import { IncipitError } from '../api/errors.ts'
import type { FimTokens } from '../api/fim.ts'
import type { Vocabulary } from '../api/vocabulary.ts'
import { library, type Pointer } from './library.ts'

const decoder = new TextDecoder()
// Longer than almost every token: one buffer for all of them.
const scratch = new Uint8Array(256)

/** The tokenizer of a model. Lives as long as the model. */
export class Vocab implements Vocabulary, Disposable {
  readonly size: number
  /** -1 where the model has none. */
  readonly bos: number
  readonly eos: number
  readonly addsBos: boolean
  /** Undefined where one of the three that it takes is missing. */
  readonly fim: Omit<FimTokens, 'order'> | undefined
  #handle: Pointer
  #pieces: (Uint8Array | undefined)[] = []
  #ends: Set<number>
  #specialTexts: readonly string[] | undefined

  constructor(handle: Pointer) {
    const lib = library()
    this.#handle = handle
    this.size = lib.vocabTokens(handle)
    this.bos = lib.vocabBos(handle)
    this.eos = lib.vocabEos(handle)
    this.addsBos = lib.vocabAddBos(handle)
    this.fim = fimOf(handle, this.addsBos ? this.bos : -1)
    this.#ends = new Set()
    for (let token = 0; token < this.size; token++) {
      if (lib.vocabIsEndOfGeneration(handle, token)) this.#ends.add(token)
    }
  }

  /** Text of all control tokens, longest first: what `special` tokenising would find in a text. */
  get specialTexts(): readonly string[] {
    if (this.#specialTexts === undefined) {
      const texts: string[] = []
      for (let token = 0; token < this.size; token++) {
        if (library().vocabIsControl(this.#live(), token)) texts.push(this.specialText(token))
      }
      this.#specialTexts = texts.filter((text) => text !== '').sort((a, b) => b.length - a.length)
    }
    return this.#specialTexts
  }

  /** Tokens that end a reply. */
  get endTokens(): readonly number[] {
    return [...this.#ends]
  }

  /** True for tokens that end a reply (end of sequence, end of turn). */
  isEndOfGeneration(token: number): boolean {
    return this.#ends.has(token)
  }

  /**
   * Text to tokens. `special`: text such as `<|im_end|>` becomes the special token; otherwise it is plain text.
   * `addBos`: put the model's beginning-of-sequence token first, where the model wants one.
   */
  tokenize(text: string, options: { special?: boolean; addBos?: boolean } = {}): number[] {
    if (text === '' && !options.addBos) return []
    const bytes = new TextEncoder().encode(text)
    let tokens = new Int32Array(bytes.length + 8)
    const call = () =>
      library().tokenize(
        this.#live(),
        bytes,
        bytes.length,
        tokens,
        tokens.length,
        options.addBos ?? false,
        options.special ?? false,
      )
    let count = call()
    if (count < 0 && count > -(2 ** 31)) {
      tokens = new Int32Array(-count)
      count = call()
    }
    if (count < 0) throw new IncipitError('invalid_request', 'the text is too long to tokenize')
    return Array.from(tokens.subarray(0, count))
  }

  /** UTF-8 bytes of a token as they stand in running text; control tokens have none. */
  bytesOf(token: number): Uint8Array {
    return this.#piece(token, false)
  }

  /** The same, but bytes of control tokens are those of their names, such as `<|im_end|>`. */
  shownBytesOf(token: number): Uint8Array {
    const bytes = this.bytesOf(token)
    return bytes.length > 0 ? bytes : this.#piece(token, true)
  }

  /** The text of a special token such as `<s>`, for templates. */
  specialText(token: number): string {
    return token < 0 ? '' : decoder.decode(this.#piece(token, true))
  }

  #piece(token: number, special: boolean): Uint8Array {
    if (!Number.isInteger(token) || token < 0 || token >= this.size) {
      throw new IncipitError('invalid_request', `token ${token} is outside the vocabulary of ${this.size}`)
    }
    const cached = special ? undefined : this.#pieces[token]
    if (cached !== undefined) return cached
    let buffer = scratch
    let length = library().tokenToPiece(this.#live(), token, buffer, buffer.length, 0, special)
    if (length < 0) {
      buffer = new Uint8Array(-length)
      length = library().tokenToPiece(this.#live(), token, buffer, buffer.length, 0, special)
    }
    const piece = buffer.slice(0, length)
    if (!special) this.#pieces[token] = piece
    return piece
  }

  #live(): Pointer {
    if (this.#handle === 0n) throw new IncipitError('disposed', 'the vocabulary was disposed with its model')
    return this.#handle
  }

  [Symbol.dispose](): void {
    this.#handle = 0n
  }
}

/** From the file's metadata, or else by the names that llama.cpp knows. */
function fimOf(handle: Pointer, begin: number): Omit<FimTokens, 'order'> | undefined {
  const lib = library()
  const prefix = lib.vocabFimPrefix(handle)
  const suffix = lib.vocabFimSuffix(handle)
  const middle = lib.vocabFimMiddle(handle)
  if (prefix < 0 || suffix < 0 || middle < 0) return undefined
  const file = lib.vocabFimFile(handle)
  const repository = lib.vocabFimRepository(handle)
  return {
    prefix,
    suffix,
    middle,
    ...(file >= 0 && { file }),
    ...(repository >= 0 && { repository }),
    ...(begin >= 0 && { begin }),
  }
}
