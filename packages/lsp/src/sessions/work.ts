/** What one completion, or one rewrite, took. */
export interface Work {
  /** Milliseconds to its first text, if there was one and somebody waited for it. */
  readonly firstMs: number | undefined
  /** Tokens that were said. */
  readonly saidTokens: number
  /** Of the prompt, where the back end tells it. */
  readonly promptTokens: number
  readonly cachedTokens: number
}

/** Told what is computed. */
export interface WorkListener {
  /** Something begins to be computed. */
  began(): void
  ended(work: Work): void
}
