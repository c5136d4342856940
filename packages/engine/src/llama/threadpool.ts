import { IncipitError } from '../api/errors.ts'
import { Handle } from './handle.ts'
import { library } from './library.ts'

// The size of the CPU mask in `ggml_threadpool_params`.
const mostThreads = 512

/** A persistent pool of compute threads, shared by all contexts of one device. */
export class Threadpool implements Disposable {
  readonly threads: number
  /** Only for use inside `llama/`. */
  readonly handle: Handle

  /** @throws IncipitError `invalid_request` for a number of threads that cannot be, `context_memory` */
  constructor(threads: number) {
    // llama.cpp ends the process when it is asked for none.
    if (!Number.isInteger(threads) || threads < 1 || threads > mostThreads) {
      throw new IncipitError(
        'invalid_request',
        `threads must be a whole number from 1 to ${mostThreads}, not ${threads}`,
        {
          param: 'threads',
        },
      )
    }
    this.threads = threads
    const pointer = library().threadpoolNew(threads)
    if (!pointer) throw new IncipitError('context_memory', `cannot start ${threads} compute threads`)
    this.handle = new Handle('the thread pool', pointer, library().threadpoolFree)
  }

  [Symbol.dispose](): void {
    this.handle[Symbol.dispose]()
  }
}
