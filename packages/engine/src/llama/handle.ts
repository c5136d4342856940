import { IncipitError } from '../api/errors.ts'
import type { Pointer } from './library.ts'

/**
 * A native object that others may still use when its owner lets it go: a model under its contexts, a batch under a
 * running decode. It is freed when the last of them is done, so that no order of disposal takes memory away from a
 * compute thread.
 */
export class Handle implements Disposable {
  readonly #what: string
  readonly #pointer: Pointer
  readonly #free: (pointer: Pointer) => void
  #users = 0
  #disposed = false

  /** @param what names the object in errors, for example `the context` */
  constructor(what: string, pointer: Pointer, free: (pointer: Pointer) => void) {
    this.#what = what
    this.#pointer = pointer
    this.#free = free
  }

  /** @throws IncipitError `disposed` */
  get pointer(): Pointer {
    if (this.#disposed) throw new IncipitError('disposed', `${this.#what} was disposed`)
    return this.#pointer
  }

  get disposed(): boolean {
    return this.#disposed
  }

  /** True while somebody holds it. */
  get held(): boolean {
    return this.#users > 0
  }

  /**
   * Keeps the object in memory until the returned function is called, once.
   * @throws IncipitError `disposed`
   */
  hold(): () => void {
    void this.pointer
    this.#users++
    return () => {
      this.#users--
      if (this.#disposed && this.#users === 0) this.#free(this.#pointer)
    }
  }

  /** No further use; a second time does nothing. */
  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    if (this.#users === 0) this.#free(this.#pointer)
  }
}
