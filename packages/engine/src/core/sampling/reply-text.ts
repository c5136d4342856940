/**
 * A reply as far as a token is to be chosen after it: `tokens[start, end)`. Guesses that are being verified, and what a
 * lookahead has decoded, belong to it.
 */
export interface ReplyText {
  readonly tokens: readonly number[]
  /** Index of the reply's first token. */
  readonly start: number
  readonly end: number
  /** Tokens before this index are committed: they are the same whenever this request is asked about again. */
  readonly committed: number
}
