/** The tokens of a model. */
export interface Vocabulary {
  readonly size: number
  /** Bytes of a token as they stand in text; none for control tokens. */
  bytesOf(token: number): Uint8Array
  /** True for tokens that end a text. */
  isEndOfGeneration(token: number): boolean
}
