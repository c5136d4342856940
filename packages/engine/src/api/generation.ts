import type { GenerateEvent } from './events.ts'

/** A reply that is being made: read its events, or cancel it. Leaving the loop early cancels too. */
export interface Generation extends AsyncIterable<GenerateEvent> {
  cancel(): void
}
