import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ServerError } from '../errors.ts'
import { closeCodes, defaultOptions, type RealtimeOptions } from '../realtime/connection.ts'
import { isSameOrigin } from '../realtime/handshake.ts'
import { operations } from './operations.ts'
import type { Responses } from './responses.ts'
import { ResponsesConnection } from './responses-connection.ts'

export interface SocketOptions extends RealtimeOptions {
  /** Pages of any origin may connect. */
  readonly cors: boolean
  readonly report: (request: FastifyRequest, error: unknown) => void
}

/** Adds the socket of `/v1/responses`. Closing the app ends its connections. */
export function mountResponsesSocket(
  app: FastifyInstance,
  path: string,
  responses: Responses,
  { cors, report, ...bounds }: SocketOptions,
): void {
  const connections = new Set<ResponsesConnection>()
  app.addHook('preClose', async () => {
    for (const connection of connections) connection.close(closeCodes.goingAway, 'the server is closing')
  })
  app.register(async (scope) => {
    scope.route({
      method: 'GET',
      url: path,
      config: { operation: operations.connect },
      // Before the upgrade, while there still is a status to answer with.
      onRequest: async (request, reply) => {
        if (!request.ws) {
          reply.header('upgrade', 'websocket')
          throw new ServerError('bad_request', 'GET is for WebSockets here: connect with ws:// or wss://, or use POST')
        }
        if (cors || isSameOrigin(request.headers)) return
        const message = `pages of ${request.headers.origin} may not connect; the server's option "cors" allows it`
        throw new ServerError('origin_refused', message, { param: 'origin' })
      },
      handler: () => {},
      wsHandler: (socket, request: FastifyRequest) => {
        const connection = new ResponsesConnection(socket, {
          responses,
          report: (error) => report(request, error),
          idleTimeout: bounds.idleTimeout ?? defaultOptions.idleTimeout,
          pingInterval: bounds.pingInterval ?? defaultOptions.pingInterval,
          drainTimeout: bounds.drainTimeout ?? defaultOptions.drainTimeout,
        })
        connections.add(connection)
        socket.once('close', () => connections.delete(connection))
      },
    })
  })
}
