import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import type { FastifyReply } from 'fastify'

export type ResponseHeaders = Record<string, string | number | string[]>

/** Most milliseconds that a stream says nothing. */
export const keepAliveMs = 10_000

/** Sends the status line and the headers of a stream at once, unless they were sent before. */
export function beginStream(response: ServerResponse, headers: ResponseHeaders): void {
  if (response.headersSent) return
  response.writeHead(200, headers)
  response.flushHeaders()
}

/** Headers that hooks have set (CORS, request id); a hijacked reply no longer sends them by itself. */
export function definedHeaders(reply: FastifyReply): ResponseHeaders {
  const defined: ResponseHeaders = {}
  for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) defined[name] = value
  return defined
}

/**
 * A response that is written piece by piece, without a buffer of its own: a write waits while the client reads slower than
 * the model writes, so at most one piece per waiting caller is held beyond the socket's own buffer.
 */
export abstract class ResponseStream {
  readonly #response: ServerResponse
  readonly #signal: AbortSignal
  // One wait that all callers share: a listener per choice would be many.
  #drained: Promise<unknown> | undefined
  readonly #keepAlive: NodeJS.Timeout | undefined

  /**
   * Sends the status line and the headers at once, so that the client knows it was heard before the first token.
   *
   * @param signal aborted when the client is gone; it ends every wait
   * @param waiting what clients pass over: proxies cut what says nothing for long, such as a prompt that takes minutes.
   *   Undefined where the format has nothing of the kind
   */
  constructor(response: ServerResponse, headers: ResponseHeaders, signal: AbortSignal, waiting: string | undefined) {
    this.#response = response
    this.#signal = signal
    beginStream(response, headers)
    if (waiting === undefined) return
    this.#keepAlive = setInterval(() => {
      if (!response.writableNeedDrain) response.write(waiting)
    }, keepAliveMs)
    response.once('close', () => clearInterval(this.#keepAlive))
  }

  /**
   * Resolves when the client can take more.
   *
   * @throws AbortError when the client is gone
   */
  protected async write(text: string): Promise<void> {
    this.#signal.throwIfAborted()
    this.#keepAlive?.refresh()
    if (this.#response.write(text)) return
    this.#drained ??= once(this.#response, 'drain', { signal: this.#signal }).finally(() => {
      this.#drained = undefined
    })
    await this.#drained
  }

  protected finish(text = ''): void {
    clearInterval(this.#keepAlive)
    this.#response.end(text)
  }
}
