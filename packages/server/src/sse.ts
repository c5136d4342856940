import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'

/** Of a response that streams. `x-accel-buffering` keeps nginx from holding the text back. */
const sseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
} as const

/** Most milliseconds that a stream says nothing. */
export const keepAliveMs = 10_000

type Headers = Record<string, string | number | string[]>

/** Sends the status line and the headers of a stream at once, unless they were sent before. */
export function beginEvents(response: ServerResponse, headers: Headers): void {
  if (response.headersSent) return
  response.writeHead(200, { ...headers, ...sseHeaders })
  response.flushHeaders()
}

/** Headers that hooks have set (CORS, request id); a hijacked reply no longer sends them by itself. */
export function definedHeaders(reply: FastifyReply): Headers {
  const defined: Headers = {}
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) defined[name] = value
  return defined
}

/**
 * Server-sent events over an HTTP response, without a buffer of its own: `send` waits while the client reads slower than
 * the model writes, so at most one event per waiting caller is held beyond the socket's own buffer.
 */
export class EventStream {
  readonly #response: ServerResponse
  readonly #signal: AbortSignal
  // One wait that all callers share: a listener per choice would be many.
  #drained: Promise<unknown> | undefined
  readonly #keepAlive: NodeJS.Timeout

  /**
   * Sends the status line and the headers at once, so that the client knows it was heard before the first token.
   *
   * @param signal aborted when the client is gone; it ends every wait
   */
  constructor(response: ServerResponse, headers: Headers, signal: AbortSignal) {
    this.#response = response
    this.#signal = signal
    beginEvents(response, headers)
    // A comment that parsers pass over: proxies cut what says nothing for long, such as a prompt that takes minutes.
    this.#keepAlive = setInterval(() => {
      if (!response.writableNeedDrain) response.write(': waiting\n\n')
    }, keepAliveMs)
    response.once('close', () => clearInterval(this.#keepAlive))
  }

  /**
   * One `data:` line, and before it the name of the event where it has one. Resolves when the client can take more.
   *
   * @throws AbortError when the client is gone
   */
  async send(data: object, event?: string): Promise<void> {
    await this.#write(`${event === undefined ? '' : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`)
  }

  /** The marker after which OpenAI's clients stop reading, then the end of the response. */
  done(): void {
    clearInterval(this.#keepAlive)
    this.#response.end('data: [DONE]\n\n')
  }

  /** Ends the response, whose last event says so itself. */
  end(): void {
    clearInterval(this.#keepAlive)
    this.#response.end()
  }

  /** Ends the response with an error event. No `[DONE]` follows: the reply is not done. */
  fail(error: object): void {
    clearInterval(this.#keepAlive)
    this.#response.end(`data: ${JSON.stringify(error)}\n\n`)
  }

  async #write(text: string): Promise<void> {
    this.#signal.throwIfAborted()
    this.#keepAlive.refresh()
    if (this.#response.write(text)) return
    this.#drained ??= once(this.#response, 'drain', { signal: this.#signal }).finally(() => {
      this.#drained = undefined
    })
    await this.#drained
  }
}
