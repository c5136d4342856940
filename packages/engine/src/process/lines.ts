import type { Duplex } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { ProtocolError } from './checks.ts'

// A line holds a request with a context of a million tokens of text, JSON escapes included, many times over.
const maxLine = 256 * 1024 * 1024

/** Cuts a stream of bytes into lines of UTF-8. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8')
  /** Parts of the line that has begun. */
  #parts: string[] = []
  #length = 0

  /**
   * @returns the lines that are complete with this chunk, without their ends
   * @throws ProtocolError for a line without end
   */
  push(chunk: Uint8Array): string[] {
    const text = this.#decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    const lines: string[] = []
    let from = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      lines.push(this.#parts.join('') + text.slice(from, end))
      this.#parts = []
      this.#length = 0
      from = end + 1
    }
    if (from < text.length) {
      this.#parts.push(text.slice(from))
      this.#length += text.length - from
      if (this.#length > maxLine) throw new ProtocolError('a line does not end')
    }
    return lines
  }
}

/** Reads lines from a stream until it ends. What `onLine` throws, and a line without end, goes to `onError`. */
export function readLines(stream: Duplex, onLine: (line: string) => void, onError: (error: unknown) => void): void {
  const splitter = new LineSplitter()
  stream.on('data', (chunk: Uint8Array) => {
    try {
      for (const line of splitter.push(chunk)) onLine(line)
    } catch (error) {
      onError(error)
    }
  })
}
