/** What was made so far, to be undone in reverse order. It is the `DisposableStack` that Node 22 does not have. */
export class Cleanup implements Disposable {
  #undo: (() => void)[] = []

  /** The value, which is disposed with the others. */
  use<T extends Disposable>(value: T): T {
    this.#undo.push(() => value[Symbol.dispose]())
    return value
  }

  defer(undo: () => void): void {
    this.#undo.push(undo)
  }

  /** All of it in other hands: this one has nothing left to undo. */
  move(): Cleanup {
    const moved = new Cleanup()
    moved.#undo = this.#undo
    this.#undo = []
    return moved
  }

  /** Undoes all; what throws first is thrown when all is done. */
  [Symbol.dispose](): void {
    const failures: unknown[] = []
    for (let undo = this.#undo.pop(); undo; undo = this.#undo.pop()) {
      try {
        undo()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
