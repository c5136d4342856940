import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { errorAnswer, ServerError } from '../errors.ts'
import { closeCodes, defaultBounds, MAX_FRAME, type SocketBounds } from './bounds.ts'
import { ClientSocket } from './client-socket.ts'
import { chooseProtocol, isSameOrigin, isWebSocketUpgrade } from './handshake.ts'

export interface SocketRoutesOptions {
  readonly bounds: SocketBounds
  /** Pages of any origin may connect. */
  readonly cors: boolean
  readonly report: (request: FastifyRequest, error: unknown) => void
}

/** What is served over the sockets of one path. */
export interface SocketService<Prepared> {
  /** What somebody is told who comes without a socket. */
  readonly hint: string
  /** Before the upgrade, while there still is a status to answer with: what is thrown here refuses the socket. */
  prepare(request: FastifyRequest): Promise<Prepared>
  /** Serves a client. What is thrown here closes its socket. */
  connect(client: ClientSocket, prepared: Prepared, request: FastifyRequest): void
}

/** A close frame holds 125 bytes, two of them the code; this is safe for any text of ours. */
const MAX_REASON = 100

/** The WebSocket routes of an app. Closing the app ends their sockets. */
export class SocketRoutes {
  readonly #app: FastifyInstance
  readonly #options: SocketRoutesOptions
  readonly #clients = new Set<ClientSocket>()

  constructor(app: FastifyInstance, options: SocketRoutesOptions) {
    this.#app = app
    this.#options = options
    const clients = this.#clients
    app.register(websocket, {
      options: { maxPayload: MAX_FRAME, handleProtocols: chooseProtocol },
      // What is malformed below the events (frames, UTF-8, size), the library answers with a close code.
      errorHandler: (error, _socket, request) => options.report(request, new ServerError('bad_request', error.message)),
      preClose(done) {
        for (const client of clients) client.close(closeCodes.goingAway, 'the server is closing')
        this.websocketServer.close()
        done()
      },
    })
    // A refused upgrade has left the HTTP server, which no longer closes its connection.
    app.addHook('onResponse', async (request) => {
      if (isWebSocketUpgrade(request.raw)) request.raw.socket.destroySoon()
    })
  }

  /** Serves GET requests of a path that ask for a WebSocket. */
  add<Prepared>(url: string, { hint, prepare, connect }: SocketService<Prepared>): void {
    const { report } = this.#options
    const prepared = new WeakMap<FastifyRequest, { readonly value: Prepared }>()
    this.#app.register(async (scope) => {
      scope.route({
        method: 'GET',
        url,
        onRequest: async (request, reply) => {
          if (!request.ws) {
            reply.header('upgrade', 'websocket')
            throw new ServerError('bad_request', hint)
          }
          this.#checkOrigin(request)
          prepared.set(request, { value: await prepare(request) })
        },
        handler: () => {},
        wsHandler: (socket, request) => {
          const client = new ClientSocket(socket, { ...defaultBounds, ...definedOf(this.#options.bounds) })
          this.#clients.add(client)
          socket.once('close', () => this.#clients.delete(client))
          try {
            connect(client, prepared.get(request)!.value, request)
          } catch (error) {
            report(request, error)
            client.close(closeCodes.internal, errorAnswer(error).body.error.message.slice(0, MAX_REASON))
          }
        },
      })
    })
  }

  #checkOrigin({ headers }: FastifyRequest): void {
    if (this.#options.cors || isSameOrigin(headers)) return
    const message = `pages of ${headers.origin} may not connect; the server's option "cors" allows it`
    throw new ServerError('origin_refused', message, { param: 'origin' })
  }
}

function definedOf({ idleTimeout, pingInterval, drainTimeout }: SocketBounds): SocketBounds {
  return {
    ...(idleTimeout === undefined ? {} : { idleTimeout }),
    ...(pingInterval === undefined ? {} : { pingInterval }),
    ...(drainTimeout === undefined ? {} : { drainTimeout }),
  }
}
