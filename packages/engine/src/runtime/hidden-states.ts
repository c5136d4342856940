/**
 * States that left one stage and wait for the next: rows [from, end) of a sequence, n_embd floats each. It follows the
 * sequence's rollbacks.
 */
export class HiddenStates {
  readonly #width: number
  #from = 0
  #rows = 0
  #data: Float32Array

  constructor(width: number) {
    this.#width = width
    this.#data = new Float32Array(width * 16)
  }

  /** First row it holds. */
  get from(): number {
    return this.#from
  }

  get end(): number {
    return this.#from + this.#rows
  }

  /** Room for rows [from, to), to be filled by the caller. Rows from `from` on that were held are replaced. */
  append(from: number, to: number): Float32Array {
    if (this.#rows === 0) this.#from = from
    if (from < this.#from || from > this.end) throw new RangeError(`states ${from}..${to} do not follow ${this.end}`)
    const rows = to - this.#from
    if (rows * this.#width > this.#data.length) {
      const grown = new Float32Array(Math.max(rows * this.#width, this.#data.length * 2))
      grown.set(this.#data)
      this.#data = grown
    }
    this.#rows = rows
    return this.#data.subarray((from - this.#from) * this.#width, rows * this.#width)
  }

  row(index: number): Float32Array {
    if (index < this.#from || index >= this.end) throw new RangeError(`no state for row ${index}`)
    const start = (index - this.#from) * this.#width
    return this.#data.subarray(start, start + this.#width)
  }

  /** Forgets rows from `base` on: they were rolled back. */
  truncate(base: number): void {
    this.#rows = Math.max(0, Math.min(this.#rows, base - this.#from))
  }

  /** Forgets rows before `end`: the next stage has computed them. */
  release(end: number): void {
    const gone = Math.min(end - this.#from, this.#rows)
    if (gone <= 0) return
    this.#data.copyWithin(0, gone * this.#width, this.#rows * this.#width)
    this.#from += gone
    this.#rows -= gone
  }
}
