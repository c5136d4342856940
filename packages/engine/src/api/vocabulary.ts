/** The tokens of a model. */
export interface Vocabulary {
  readonly size: number
  /**
   * UTF-8 bytes of a token as they stand in running text; a token may hold a part of a character. Control tokens have
   * none.
   * @throws IncipitError `invalid_request` for an id outside the vocabulary
   */
  bytesOf(token: number): Uint8Array
  /** True for tokens that end a reply (end of sequence, end of turn). */
  isEndOfGeneration(token: number): boolean
}
