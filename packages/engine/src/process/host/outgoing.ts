import type { FromChild } from '../messages.ts'
import { encodeFromChild } from '../protocol.ts'

/**
 * What the engine's process has to say. The messages of a step leave together, in one line, before the next step is
 * planned: that takes up to milliseconds, and writing them some microseconds.
 */
export class Outgoing {
  readonly #write: (line: string) => void
  #parts: string[] = []

  constructor(write: (line: string) => void) {
    this.#write = write
  }

  say(message: FromChild): void {
    if (this.#parts.length === 0) queueMicrotask(() => this.flush())
    this.#parts.push(encodeFromChild(message))
  }

  /** Says at once what waits. */
  flush(): void {
    if (this.#parts.length === 0) return
    this.#write(`[${this.#parts.join()}]\n`)
    this.#parts = []
  }
}
