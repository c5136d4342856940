/** What was said of a reply by an engine that is gone. */
export interface FormerLife {
  /** Committed, and told. */
  readonly tokens: readonly number[]
  /** Tokens of the prompt whose log-probabilities were told. */
  readonly scored: number
  /** Milliseconds since the request was accepted. */
  readonly elapsedMs: number
  /** Milliseconds from then to the first committed text, where any was told. */
  readonly committedMs: number | null
  /** The last provisional event. */
  readonly rev: number
}
