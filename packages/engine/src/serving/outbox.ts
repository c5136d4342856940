/**
 * What the loop has to tell its callers. Whoever is told may do anything at once, cancel the very reply that is being read,
 * say: so it waits, in order, until the loop's own state is whole.
 */
export class Outbox {
  readonly #waiting: (() => void)[] = []
  #delivering = false

  add(call: () => void): void {
    this.#waiting.push(call)
  }

  /** Tells all that waits, and what comes up meanwhile. */
  deliver(): void {
    if (this.#delivering) return
    this.#delivering = true
    try {
      for (let call = this.#waiting.shift(); call; call = this.#waiting.shift()) call()
    } finally {
      this.#delivering = false
    }
  }
}
