import { IncipitError } from '../errors.ts'
import { library, type Pointer } from './library.ts'

/** A persistent pool of compute threads, shared by all contexts of one device. */
export class Threadpool implements Disposable {
  readonly threads: number
  #handle: Pointer

  constructor(threads: number) {
    this.threads = threads
    this.#handle = library().threadpoolNew(threads)
    if (!this.#handle) throw new IncipitError('context_memory', `cannot start ${threads} compute threads`)
  }

  get handle(): Pointer {
    if (this.#handle === 0n) throw new IncipitError('disposed', 'the thread pool was disposed')
    return this.#handle
  }

  [Symbol.dispose](): void {
    if (this.#handle === 0n) return
    library().threadpoolFree(this.#handle)
    this.#handle = 0n
  }
}
