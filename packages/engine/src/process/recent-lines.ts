/** The last lines of something that says much. */
export class RecentLines {
  readonly #lines: string[]
  #next = 0
  #count = 0

  /** @param capacity how many it holds */
  constructor(capacity: number) {
    this.#lines = new Array<string>(capacity).fill('')
  }

  add(line: string): void {
    this.#lines[this.#next] = line
    this.#next = (this.#next + 1) % this.#lines.length
    this.#count = Math.min(this.#count + 1, this.#lines.length)
  }

  /** The oldest first; none of them is left. */
  take(): string[] {
    const first = this.#next - this.#count + this.#lines.length
    const lines = Array.from({ length: this.#count }, (_, i) => this.#lines[(first + i) % this.#lines.length]!)
    this.#count = 0
    return lines
  }
}
