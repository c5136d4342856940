import type { FastifyReply, FastifyRequest } from 'fastify'

/** Watches one request's client. */
export interface ClientWatch {
  /** Aborted when the connection closes, and by `end`. */
  readonly signal: AbortSignal
  /**
   * To be called when the answer is complete or has failed: a later close is no news, and what still runs under the
   * signal (other choices of a failed request) has nobody left to work for.
   */
  end(): void
}

/**
 * Answers a request while its client is there. When it has gone away nobody is answered: an error then is our own abort.
 * @param answer gets a signal that is aborted when the client goes away, and when the answer is over
 * @throws what `answer` does
 */
export async function whileConnected(
  request: FastifyRequest,
  reply: FastifyReply,
  answer: (signal: AbortSignal) => Promise<FastifyReply>,
): Promise<FastifyReply> {
  const client = watchClient(request)
  try {
    return await answer(client.signal)
  } catch (error) {
    if (client.signal.aborted) return reply.hijack()
    throw error
  } finally {
    client.end()
  }
}

/**
 * A signal that says the client has gone away. It listens to the socket: the request's own `close` event comes as soon as
 * its body was read, and the response's never comes to one that waits behind another on the same connection.
 */
export function watchClient(request: FastifyRequest): ClientWatch {
  const { socket } = request.raw
  const controller = new AbortController()
  const gone = () => controller.abort(new DOMException('the client has disconnected', 'AbortError'))
  if (socket.destroyed) gone()
  else socket.once('close', gone)
  return {
    signal: controller.signal,
    end: () => {
      socket.off('close', gone)
      controller.abort()
    },
  }
}
