/**
 * The KV cells of one stage: every slot has a cell per position, and in a unified cache a cell that several slots share is
 * one cell. Counts what is in use and what would become free. Costs a few integers per row.
 */
export class KvCells {
  readonly capacity: number
  /** Per slot: the cell of each position. */
  readonly #held: number[][]
  /** Per cell: how many slots hold it. */
  readonly #holders: Uint16Array
  readonly #free: number[] = []
  readonly #unified: boolean
  #used = 0

  /** @param unified whether slots share cells; otherwise shared rows are copies */
  constructor(capacity: number, slots: number, unified = true) {
    this.#unified = unified
    this.capacity = capacity
    this.#held = Array.from({ length: slots }, () => [])
    this.#holders = new Uint16Array(capacity)
    for (let cell = capacity - 1; cell >= 0; cell--) this.#free.push(cell)
  }

  get used(): number {
    return this.#used
  }

  get free(): number {
    return this.capacity - this.#used
  }

  /** Rows of a slot. */
  rows(slot: number): number {
    return this.#held[slot]!.length
  }

  /**
   * A slot computed positions up to `end`; what lies between is new, and `shared` slots hold it, too, up to their own end.
   * @throws RangeError when there are not enough cells
   */
  grow(slot: number, end: number, shared: readonly { slot: number; end: number }[] = []): void {
    const held = this.#held[slot]!
    for (let position = held.length; position < end; position++) {
      const cell = this.#free.pop()
      if (cell === undefined) throw new RangeError('no free KV cell')
      this.#used++
      this.#holders[cell] = 1
      held.push(cell)
      for (const other of shared) if (position < other.end) this.#hold(other.slot, cell)
    }
  }

  #hold(slot: number, cell: number): void {
    this.#held[slot]!.push(cell)
    this.#holders[cell]!++
  }

  /** Slot `to` shares positions [its rows, end) of slot `from`. */
  share(from: number, to: number, end: number): void {
    if (!this.#unified) {
      this.grow(to, end)
      return
    }
    const source = this.#held[from]!
    for (let position = this.rows(to); position < end; position++) this.#hold(to, source[position]!)
  }

  /** Positions from `base` on leave a slot. */
  remove(slot: number, base: number): void {
    const held = this.#held[slot]!
    while (held.length > base) {
      const cell = held.pop()!
      if (--this.#holders[cell]! > 0) continue
      this.#used--
      this.#free.push(cell)
    }
  }

  /** Cells that only these slots hold: what removing them would free. */
  own(...slots: number[]): number {
    const held = new Map<number, number>()
    for (const slot of slots) for (const cell of this.#held[slot]!) held.set(cell, (held.get(cell) ?? 0) + 1)
    let own = 0
    for (const [cell, holders] of held) if (this.#holders[cell] === holders) own++
    return own
  }
}
