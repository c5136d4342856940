import { readFileSync } from 'node:fs'
import { ConstraintError } from './constraint-error.ts'

/** What rust/src/lib.rs exports. Negative results are errors. */
export interface Exports {
  readonly memory: WebAssembly.Memory
  allocate(size: number): number
  release(pointer: number, size: number): void
  error_pointer(): number
  error_length(): number
  initialise(all: number, size: number, lengths: number, tokens: number, end: number, tokenizes: number): number
  compile(kind: number, source: number, size: number): number
  mask(handle: number, target: number): number
  advance(handle: number, token: number): number
  rollback(handle: number, tokens: number): number
  validate(handle: number, tokens: number, count: number): number
  forced(handle: number, target: number, room: number): number
  ending(handle: number): number
  fork(handle: number): number
  discard(handle: number): void
}

let compiled: WebAssembly.Module | undefined

/** An instance of llguidance. A trap ends it: whatever is asked of it afterwards is an error. */
export class Instance {
  readonly exports: Exports
  #broken: string | undefined

  /** @param tokenize the model's tokenizer */
  constructor(tokenize: (text: string) => readonly number[] = () => []) {
    compiled ??= new WebAssembly.Module(readFileSync(new URL('../wasm/constraint.wasm', import.meta.url)))
    const env = {
      /** Milliseconds since anything: llguidance bounds its work by it. */
      now: () => performance.now(),
      tokenize: (text: number, size: number, target: number, room: number) => {
        const tokens = tokenize(new TextDecoder().decode(this.bytes(text, size))).slice(0, room)
        new Uint32Array(this.exports.memory.buffer, target, tokens.length).set(tokens)
        return tokens.length
      },
    }
    this.exports = new WebAssembly.Instance(compiled, { env }).exports as unknown as Exports
  }

  /** Bytes of its memory, which never shrinks. */
  get size(): number {
    return this.exports.memory.buffer.byteLength
  }

  /** Whether it trapped. */
  get broken(): boolean {
    return this.#broken !== undefined
  }

  /**
   * Calls a function that may fail.
   * @throws ConstraintError with its word
   */
  call(act: (exports: Exports) => number): number {
    if (this.#broken !== undefined) throw new ConstraintError(this.#broken)
    let result: number
    try {
      result = act(this.exports)
    } catch (trap) {
      this.#broken = `llguidance ended: ${this.#word() || String(trap)}`
      throw new ConstraintError(this.#broken)
    }
    if (result < 0) throw new ConstraintError(this.#word())
    return result
  }

  /** Calls with bytes in the instance's memory. */
  withBytes<T>(bytes: Uint8Array, act: (pointer: number) => T): T {
    const { allocate, release } = this.exports
    const pointer = allocate(bytes.length)
    this.bytes(pointer, bytes.length).set(bytes)
    try {
      return act(pointer)
    } finally {
      if (!this.broken) release(pointer, bytes.length)
    }
  }

  /** A view of its memory, until that grows. */
  bytes(pointer: number, length: number): Uint8Array {
    return new Uint8Array(this.exports.memory.buffer, pointer, length)
  }

  /** Why something failed; nothing where what trapped took the words with it. */
  #word(): string {
    const { error_pointer: pointer, error_length: length } = this.exports
    try {
      return new TextDecoder().decode(this.bytes(pointer(), length())).replace(/\s*<non-verbose\/>/, '')
    } catch {
      return ''
    }
  }
}
