import type { GenerateEvent } from '@incipit/engine/api'

/** Where the events of a reply go. */
export interface ReplyOutput {
  /** Resolves when the reader has room for more. */
  event(event: GenerateEvent): Promise<void>
  /** Leaves the terminal as it was found; may be called at any time and more than once. */
  close(): void
  /** Whether the next output on the same terminal would begin in the middle of a line. */
  midLine(): boolean
}
