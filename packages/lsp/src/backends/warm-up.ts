/**
 * Keeps a prompt computed that changes with every keystroke: one request at a time, the last prompt only, and not before
 * the writer rests a moment.
 */
export class WarmUp<T> {
  readonly #send: (prompt: T) => Promise<unknown>
  readonly #restMs: number
  #next: { readonly prompt: T } | undefined
  #timer: NodeJS.Timeout | undefined
  #running = false
  #closed = false

  constructor(send: (prompt: T) => Promise<unknown>, restMs = 60) {
    this.#send = send
    this.#restMs = restMs
  }

  /** This is the prompt now. */
  follow(prompt: T): void {
    if (this.#closed) return
    this.#next = { prompt }
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#run(), this.#restMs)
  }

  /** A completion is asked for: that warms, too. */
  skip(): void {
    this.#next = undefined
    clearTimeout(this.#timer)
  }

  close(): void {
    this.#closed = true
    this.skip()
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    while (this.#next && !this.#closed) {
      const { prompt } = this.#next
      this.#next = undefined
      // A server that cannot is slower, and says why when it is asked for a completion.
      await this.#send(prompt).catch(() => undefined)
    }
    this.#running = false
  }
}
