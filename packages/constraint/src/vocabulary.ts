/** The tokens of a model. */
export interface Vocabulary {
  readonly size: number
  /** Bytes of a token as they stand in text; none for control tokens. */
  bytesOf(token: number): Uint8Array
  /** True for tokens that end a text. */
  isEndOfGeneration(token: number): boolean
  /**
   * Tokens of a text, as the model was taught to read it; no control tokens. With it, what is forced is forced in these
   * tokens; without it, nothing is, and a model may put forced text together from any pieces.
   */
  tokenize?(text: string): readonly number[]
  /** Control tokens by their text: where a tag names one, the token is meant. Default: none. */
  readonly controlTokens?: ReadonlyMap<string, number>
}
