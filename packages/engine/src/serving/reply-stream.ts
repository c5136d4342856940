import type { GenerateEvent } from '../api/events.ts'

/** Where the events of a request go. */
export interface ReplySink {
  /** @param tokens that a delta commits, for whoever has to go on from there */
  push(event: GenerateEvent, tokens?: readonly number[]): void
  /** Nothing comes any more; with an error the request failed. */
  close(error?: unknown): void
}

/** An unbounded queue between one writer and one async reader. Bounded in practice by the reply's length. */
export class ReplyStream<T = GenerateEvent> {
  readonly #items: T[] = []
  #closed = false
  #error: unknown
  #wake: (() => void) | undefined

  /** Items that nobody has read yet. */
  get unread(): number {
    return this.#items.length
  }

  push(item: T): void {
    if (this.#closed) return
    this.#items.push(item)
    this.#wake?.()
  }

  close(error?: unknown): void {
    if (this.#closed) return
    this.#closed = true
    this.#error = error
    this.#wake?.()
  }

  async *read(): AsyncGenerator<T, void, undefined> {
    for (;;) {
      while (this.#items.length > 0) yield this.#items.shift()!
      if (this.#closed) {
        if (this.#error !== undefined) throw this.#error
        return
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      this.#wake = undefined
    }
  }
}
