import type { FileHandle } from 'node:fs/promises'
import { IncipitError } from '../api/errors.ts'

/**
 * No header of a real model comes near this (a vocabulary of 256k with merges takes 20 MB). It bounds what a file with
 * made-up lengths can make us read.
 */
const maxHeaderBytes = 256 * 1024 * 1024

// Holds the header of a model with a small vocabulary at once; larger ones double it a few times.
const firstWindow = 256 * 1024

/** `model_invalid` that names the file. */
export function invalid(path: string, what: string, cause?: unknown): IncipitError {
  return new IncipitError('model_invalid', `${path}: ${what}`, cause === undefined ? {} : { cause })
}

/** Thrown by a cursor that runs out of window, caught by `HeaderReader.item` only. */
class Short {
  readonly end: number

  constructor(end: number) {
    this.end = end
  }
}

/** Reads little-endian fields one after the other from the bytes that are in the window. */
export class Cursor {
  readonly #bytes: Buffer
  readonly #fail: (what: string) => IncipitError
  position: number

  constructor(bytes: Buffer, position: number, fail: (what: string) => IncipitError) {
    this.#bytes = bytes
    this.position = position
    this.#fail = fail
  }

  /** The next `n` bytes, as a view of the window. */
  bytes(n: number): Buffer {
    const start = this.skip(n)
    return this.#bytes.subarray(start, start + n)
  }

  /** Steps over `n` bytes and gives their start: without the cost of a view, for the strings of a vocabulary. */
  skip(n: number): number {
    const start = this.position
    if (start + n > this.#bytes.length) throw new Short(start + n)
    this.position = start + n
    return start
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.skip(4))
  }

  /** A 64-bit count, length or offset. Errors: `model_invalid` above 2^53. */
  count(what: string): number {
    const start = this.skip(8)
    const value = this.#bytes.readUInt32LE(start + 4) * 2 ** 32 + this.#bytes.readUInt32LE(start)
    if (!Number.isSafeInteger(value)) throw this.#fail(`${what} is an absurd ${this.#bytes.readBigUInt64LE(start)}`)
    return value
  }

  /** Bytes of a string with its length in front. */
  text(what: string): Buffer {
    return this.bytes(this.count(`the length of ${what}`))
  }
}

/**
 * The header of a file, read through a window that doubles when an item does not fit. Nothing is allocated by a length
 * that the file claims, only by bytes that it has.
 */
export class HeaderReader {
  readonly #handle: FileHandle
  readonly #path: string
  readonly #size: number
  #window: Buffer = Buffer.alloc(0)
  /** Offset of the next item, in bytes from the start of the file. */
  position = 0

  constructor(handle: FileHandle, path: string, size: number) {
    this.#handle = handle
    this.#path = path
    this.#size = size
  }

  /** Bytes of the file after `position`. */
  get remaining(): number {
    return this.#size - this.position
  }

  /**
   * Parses one item and steps over it. `parse` runs again from the item's start when the window had to grow, so it
   * must not have effects.
   * Errors: `model_invalid` when the file ends inside the item, and what `parse` throws.
   */
  async item<T>(what: string, parse: (cursor: Cursor) => T): Promise<T> {
    for (;;) {
      const cursor = new Cursor(this.#window, this.position, (why) => invalid(this.#path, why))
      try {
        const value = parse(cursor)
        this.position = cursor.position
        return value
      } catch (error) {
        if (!(error instanceof Short)) throw error
        if (error.end > this.#size)
          throw invalid(this.#path, `cut short: the file ends at byte ${this.#size}, in ${what}`)
        if (error.end > maxHeaderBytes) throw invalid(this.#path, `${what} would make a header of ${error.end} bytes`)
        await this.#grow(error.end)
      }
    }
  }

  async #grow(end: number): Promise<void> {
    let length = Math.max(firstWindow, this.#window.length)
    while (length < end) length *= 2
    const window = Buffer.alloc(Math.min(length, this.#size))
    this.#window.copy(window)
    let filled = this.#window.length
    while (filled < window.length) {
      const { bytesRead } = await this.#handle.read(window, filled, window.length - filled, filled)
      if (bytesRead === 0) throw invalid(this.#path, `cut short: the file ended at byte ${filled} while it was read`)
      filled += bytesRead
    }
    this.#window = window
  }
}
