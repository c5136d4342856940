import type { Outbox } from '../socket/outbox.ts'

/** Tells how far the open text is computed; to a client that reads slowly the last of it. */
export class Progress {
  readonly #outbox: Outbox
  /** The last one while the client could not take more. */
  #held: object | undefined

  constructor(outbox: Outbox) {
    this.#outbox = outbox
  }

  tell(progress: object): void {
    if (!this.#outbox.full) {
      this.#send(progress)
      return
    }
    if (this.#held === undefined) void this.#outbox.drained().then(() => this.#release())
    this.#held = progress
  }

  #release(): void {
    const held = this.#held
    this.#held = undefined
    if (held) this.#send(held)
  }

  #send(progress: object): void {
    this.#outbox.send('input_text.progress', progress)
  }
}
