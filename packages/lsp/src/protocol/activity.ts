import type { Work, WorkListener } from '../sessions/work.ts'
import type { Stats, Status } from './messages.ts'

/** What was computed, shown and accepted since the server was started. */
export class Activity implements WorkListener {
  readonly #stats = { completions: 0, saidTokens: 0, promptTokens: 0, cachedTokens: 0 }
  readonly #onChange: () => void
  #running = 0
  #firstMs: number | undefined
  #shown = 0
  #accepted = 0

  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  get stats(): Stats {
    return this.#stats
  }

  /** Whether something is being computed. */
  get working(): boolean {
    return this.#running > 0
  }

  /** For the status. */
  get counts(): Pick<Status, 'shown' | 'accepted' | 'firstMs'> {
    const firstMs = this.#firstMs
    return { shown: this.#shown, accepted: this.#accepted, ...(firstMs !== undefined && { firstMs }) }
  }

  began(): void {
    this.#running++
    this.#onChange()
  }

  ended({ firstMs, saidTokens, promptTokens, cachedTokens }: Work): void {
    this.#stats.completions++
    this.#stats.saidTokens += saidTokens
    this.#stats.promptTokens += promptTokens
    this.#stats.cachedTokens += cachedTokens
    this.#running--
    this.#firstMs = firstMs ?? this.#firstMs
    this.#onChange()
  }

  shown(): void {
    this.#shown++
  }

  accepted(): void {
    this.#accepted++
    this.#onChange()
  }
}
