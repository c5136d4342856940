import type { ServerResponse } from 'node:http'
import { type ResponseHeaders, ResponseStream } from '../response-stream.ts'

/** JSON objects, one a line. */
export class LineStream extends ResponseStream {
  constructor(response: ServerResponse, headers: ResponseHeaders, signal: AbortSignal) {
    const type = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-cache', 'x-accel-buffering': 'no' }
    // There is nothing that a parser of lines would pass over.
    super(response, { ...headers, ...type }, signal, undefined)
  }

  /** Resolves when the client can take more. */
  async send(data: object): Promise<void> {
    await this.write(`${JSON.stringify(data)}\n`)
  }

  /** Sends the last object. */
  close(data: object): void {
    this.finish(`${JSON.stringify(data)}\n`)
  }
}
