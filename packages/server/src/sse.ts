import type { ServerResponse } from 'node:http'
import { beginStream, type ResponseHeaders, ResponseStream } from './response-stream.ts'

/** Of a response that streams. `x-accel-buffering` keeps nginx from holding the text back. */
const sseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
} as const

/** Sends the status line and the headers of a stream at once, unless they were sent before. */
export function beginEvents(response: ServerResponse, headers: ResponseHeaders): void {
  beginStream(response, { ...headers, ...sseHeaders })
}

/** Server-sent events over an HTTP response. */
export class EventStream extends ResponseStream {
  /** @param waiting what is said where nothing else is for long. Default: a comment, which parsers pass over */
  constructor(response: ServerResponse, headers: ResponseHeaders, signal: AbortSignal, waiting = ': waiting\n\n') {
    super(response, { ...headers, ...sseHeaders }, signal, waiting)
  }

  /**
   * One event: a `data:` line, and its name in front where events have names. Resolves when the client can take more.
   *
   * @throws AbortError when the client is gone
   */
  async send(data: object, name?: string): Promise<void> {
    await this.write(eventOf(data, name))
  }

  /** The marker after which OpenAI's clients stop reading, then the end of the response. */
  done(): void {
    this.finish('data: [DONE]\n\n')
  }

  /** Ends the response, whose last event says so itself. */
  end(): void {
    this.finish()
  }

  /** Ends the response with an error event. No `[DONE]` follows: the reply is not done. */
  fail(error: object, name?: string): void {
    this.finish(eventOf(error, name))
  }
}

/** The text of an event. */
export function eventOf(data: object, name?: string): string {
  return `${name === undefined ? '' : `event: ${name}\n`}data: ${JSON.stringify(data)}\n\n`
}
