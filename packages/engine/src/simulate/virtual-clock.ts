/** Time that passes only when it is told to. What is due meanwhile happens at its own moment. */
export class VirtualClock {
  readonly #next: () => number
  readonly #happen: () => void
  #now = 0

  /**
   * @param next when something happens next, ms; Infinity: nothing does
   * @param happen lets it happen, after which `next` is later or another one is due
   */
  constructor(next: () => number, happen: () => void) {
    this.#next = next
    this.#happen = happen
  }

  /** ms since the beginning. */
  get now(): number {
    return this.#now
  }

  /** Goes on to this moment, ms, unless it has passed. */
  advance(to: number): void {
    while (this.#next() <= to) {
      this.#now = Math.max(this.#now, this.#next())
      this.#happen()
    }
    this.#now = Math.max(this.#now, to)
  }
}
