import type { Vocabulary } from '../api/vocabulary.ts'

/** What text needs of a model's tokenizer. `llama/vocab.ts` is one. */
export interface Tokenizer extends Pick<Vocabulary, 'size' | 'bytesOf'> {
  /** The token that marks the beginning of a text, -1 where there is none. */
  readonly bos: number
  /** Whether every prompt begins with `bos`. */
  readonly addsBos: boolean
  /** Text of all control tokens, longest first. */
  readonly specialTexts: readonly string[]
  /**
   * Text to tokens. `special`: text such as `<|im_end|>` becomes the special token; otherwise it is plain text.
   * `addBos`: put `bos` first, where the model wants one.
   */
  tokenize(text: string, options?: { special?: boolean; addBos?: boolean }): number[]
  /** The text of any token, control tokens included. */
  specialText(token: number): string
}
