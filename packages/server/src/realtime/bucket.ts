/**
 * A token bucket: `burst` events at once, `rate` per second in the long run.
 */
export class Bucket {
  readonly #rate: number
  readonly #burst: number
  readonly #now: () => number
  #level: number
  #filled: number

  /** @param now a clock in milliseconds, for tests */
  constructor(rate: number, burst: number, now: () => number = () => performance.now()) {
    this.#rate = rate
    this.#burst = burst
    this.#now = now
    this.#level = burst
    this.#filled = now()
  }

  /** Takes one; false when there is none left. */
  take(): boolean {
    const now = this.#now()
    this.#level = Math.min(this.#burst, this.#level + ((now - this.#filled) / 1000) * this.#rate)
    this.#filled = now
    if (this.#level < 1) return false
    this.#level--
    return true
  }
}
