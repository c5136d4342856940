import type { ServerResponse } from 'node:http'
import { beginStream, type ResponseHeaders, ResponseStream } from '../response-stream.ts'

const lineHeaders = {
  'content-type': 'application/x-ndjson',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
} as const

/** Sends the status line and the headers of a stream at once, unless they were sent before. */
export function beginLines(response: ServerResponse, headers: ResponseHeaders): void {
  beginStream(response, { ...headers, ...lineHeaders })
}

/** The text of an object. */
export function lineOf(data: object): string {
  return `${JSON.stringify(data)}\n`
}

/** JSON objects, one a line. */
export class LineStream extends ResponseStream {
  constructor(response: ServerResponse, headers: ResponseHeaders, signal: AbortSignal) {
    // There is nothing that a parser of lines would pass over.
    super(response, { ...headers, ...lineHeaders }, signal, undefined)
  }

  /** Resolves when the client can take more. */
  async send(data: object): Promise<void> {
    await this.write(lineOf(data))
  }

  /** Sends the last object. */
  close(data: object): void {
    this.finish(lineOf(data))
  }
}
