import koffi from 'koffi'
import { library, type Pointer, stopAtExit } from './library.ts'

/**
 * A flag that native threads ask by a callback in which no JavaScript runs: libc's strlen over two bytes of ours, which
 * is not 0 while the first byte is set. llama.cpp passes the address of the bytes as the only pointer argument.
 */
export class Flag {
  /** Address of strlen, the callback. */
  readonly callback: Pointer
  /** Address of the bytes, the callback's user data. */
  readonly data: Pointer
  readonly #bytes: Uint8Array

  constructor(value: boolean) {
    this.callback = library().strlen
    this.data = koffi.alloc('uint8_t', 2) as Pointer
    this.#bytes = new Uint8Array(koffi.view(this.data, 2))
    this.#bytes[1] = 0
    this.set(value)
  }

  set(value: boolean): void {
    this.#bytes[0] = value ? 1 : 0
  }

  /** Runs a native call during which an exit of the process sets the flag to `value`. */
  async stopping<T>(value: boolean, call: () => Promise<T>): Promise<T> {
    const forget = stopAtExit(() => this.set(value))
    try {
      return await call()
    } finally {
      forget()
    }
  }

  free(): void {
    koffi.free(this.data)
  }
}
