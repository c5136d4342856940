import type { GenerateEvent } from './events.ts'

/** A reply that is being made: read its events, or cancel it. Leaving the loop early cancels too. */
export interface Generation extends AsyncIterable<GenerateEvent> {
  /** Resolves when the engine has taken the request; rejects with why it is refused, as reading does then. */
  readonly accepted: Promise<void>
  cancel(): void
}
