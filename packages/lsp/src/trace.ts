/** What became of one request for a completion. */
export interface TraceEntry {
  readonly at: string
  readonly path: string
  readonly position: { readonly line: number; readonly character: number }
  /**
   * `typed`: it was shown and is typed through; `known`: it was there; `ahead`: it was being computed; `asked`; `edit`: the
   * next edit.
   */
  readonly source: 'typed' | 'known' | 'ahead' | 'asked' | 'edit' | 'none'
  /** Why nothing was shown, where nothing was. */
  readonly silence?: string
  readonly shown: string
  /** From the request to the answer, in milliseconds. */
  readonly ms: number
  /** From the start of the computation to the first text, in milliseconds. */
  readonly firstMs?: number
  /** Tokens that were said by then. */
  readonly saidTokens?: number
  /** Everything that was given to the model. */
  readonly prompt?: SentPrompt
}

export interface SentPrompt {
  readonly related: readonly { readonly source: string; readonly text: string }[]
  readonly before: string
  readonly after: string
  /** As the back end counts them: it tells them when it is done, behind the answer mostly. */
  promptTokens?: number
  cachedTokens?: number
  /** Of the reply, how many were predicted. */
  readonly acceptedPredictionTokens?: number
}

const most = 50

/** The last requests, for `incipit/trace`. They stay in this process. */
export class Trace {
  readonly #entries: TraceEntry[] = []

  add(entry: TraceEntry): void {
    this.#entries.push(entry)
    if (this.#entries.length > most) this.#entries.shift()
  }

  get entries(): readonly TraceEntry[] {
    return this.#entries
  }
}
