import koffi from 'koffi'
import { KvOverride } from './layouts.ts'
import type { Pointer } from './library.ts'

// llama.h: LLAMA_KV_OVERRIDE_TYPE_INT.
const wholeNumber = 0

/** Metadata of a model to use instead of what its file says. llama.cpp copies it while it loads the model. */
export class Overrides implements Disposable {
  /** Address of the array, null without any. Only for use inside `llama/`. */
  readonly pointer: Pointer | null

  /** @param values whole numbers by metadata key (at most 127 bytes) */
  constructor(values: readonly (readonly [key: string, value: number])[]) {
    if (values.length === 0) {
      this.pointer = null
      return
    }
    const pointer = koffi.alloc(KvOverride, values.length + 1) as Pointer
    const rest = new Array<number>(120).fill(0)
    // An empty key ends the array.
    for (const [i, [key, value]] of [...values, ['', 0] as const].entries()) {
      const at = i * koffi.sizeof(KvOverride)
      koffi.encode(pointer, at, KvOverride, { tag: wholeNumber, key, val_i64: value, rest })
    }
    this.pointer = pointer
  }

  [Symbol.dispose](): void {
    if (this.pointer !== null) koffi.free(this.pointer)
  }
}
