import type { Said } from '../../suggest/gate.ts'

/** What was said and is not read yet; one reader. */
export class PieceQueue implements AsyncIterable<Said> {
  readonly #pieces: Said[] = []
  #end: { readonly error: unknown } | undefined
  #wake: (() => void) | undefined

  push(piece: Said): void {
    if (this.#end) return
    this.#pieces.push(piece)
    this.#wake?.()
  }

  /** Nothing follows what is there. The first end counts. */
  end(error?: unknown): void {
    this.#end ??= { error }
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Said> {
    while (true) {
      for (let piece = this.#pieces.shift(); piece !== undefined; piece = this.#pieces.shift()) yield piece
      if (this.#end) {
        if (this.#end.error !== undefined) throw this.#end.error
        return
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}
