import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { watchClient } from '../disconnect.ts'
import { errorAnswer, ServerError } from '../errors.ts'
import type { ModelDirectory, ModelInUse } from '../models/model-directory.ts'
import { noteServedModel } from '../models/served-model.ts'
import { modelQuery } from '../models/with-model.ts'
import { Connection, closeCodes, defaultOptions, type RealtimeOptions } from './connection.ts'
import { chooseProtocol, isSameOrigin, isWebSocketUpgrade, REALTIME_PATH } from './handshake.ts'

export interface RealtimeRoute extends RealtimeOptions {
  models: ModelDirectory
  /** Pages of any origin may connect. */
  cors: boolean
  /** Most text of a conversation, in UTF-16 units. */
  textLimit: number
  report: (request: FastifyRequest, error: unknown) => void
}

/** Largest client event, in bytes. Longer texts come in several. */
const MAX_FRAME = 1024 * 1024

const operation = {
  id: 'connectRealtime',
  summary: 'A socket for input that is still being written.',
  dialect: 'incipit',
  input: modelQuery,
  uses: 'model',
  socket: true,
} as const

/** Adds `/v1/realtime`; see `docs/realtime.md`. Closing the app ends its connections. */
export function mountRealtime(app: FastifyInstance, options: RealtimeRoute): void {
  const { models, cors, textLimit, report } = options
  const connections = new Set<Connection>()
  const used = new WeakMap<FastifyRequest, ModelInUse>()

  app.register(websocket, {
    options: { maxPayload: MAX_FRAME, handleProtocols: chooseProtocol },
    // What is malformed below the events (frames, UTF-8, size), the library answers with a close code.
    errorHandler: (error, _socket, request) => report(request, new ServerError('bad_request', error.message)),
    preClose(done) {
      for (const connection of connections) connection.close(closeCodes.goingAway, 'the server is closing')
      this.websocketServer.close()
      done()
    },
  })

  // A refused upgrade has left the HTTP server, which no longer closes its connection.
  app.addHook('onResponse', async (request) => {
    if (isWebSocketUpgrade(request.raw)) request.raw.socket.destroySoon()
  })

  app.register(async (scope) => {
    scope.route({
      method: 'GET',
      url: REALTIME_PATH,
      config: { operation },
      // Before the upgrade, while there still is a status to answer with.
      onRequest: async (request, reply) => {
        if (!request.ws) {
          reply.header('upgrade', 'websocket')
          throw new ServerError('bad_request', 'this is a WebSocket: connect to it with ws:// or wss://')
        }
        if (!cors && !isSameOrigin(request.headers)) {
          const message = `pages of ${request.headers.origin} may not connect; the server's option "cors" allows it`
          throw new ServerError('origin_refused', message, { param: 'origin' })
        }
        const model = await useUntilClosed(models, request)
        if (model.engine.open === undefined) throw new ServerError('unsupported', 'this server cannot stream input')
        noteServedModel(request, model)
        used.set(request, model)
      },
      handler: () => {},
      wsHandler: (socket, request) => {
        const tell = (error: unknown) => report(request, error)
        const { name: model, engine, defaults } = used.get(request)!
        const { info } = engine
        const open = engine.open!.bind(engine)
        try {
          const connection = new Connection(
            socket,
            { engine: { info, open }, model, defaults, textLimit, report: tell },
            { ...defaultOptions, ...boundsOf(options) },
          )
          connections.add(connection)
          socket.once('close', () => connections.delete(connection))
        } catch (error) {
          tell(error)
          socket.close(closeCodes.internal, errorAnswer(error).body.error.message.slice(0, MAX_REASON))
        }
      },
    })
  })
}

/** Loads the model that a socket names in its address, where it is not loaded, and keeps it as long as the socket is there. */
async function useUntilClosed(models: ModelDirectory, request: FastifyRequest): Promise<ModelInUse> {
  const { model: name } = request.query as { model?: unknown }
  const client = watchClient(request)
  try {
    const model = await models.use(typeof name === 'string' && name !== '' ? name : undefined, client.signal)
    const { socket } = request.raw
    if (socket.destroyed) model[Symbol.dispose]()
    else socket.once('close', () => model[Symbol.dispose]())
    return model
  } finally {
    client.end()
  }
}

/** A close frame holds 125 bytes, two of them the code; this is safe for any text of ours. */
const MAX_REASON = 100

function boundsOf({ idleTimeout, pingInterval, drainTimeout }: RealtimeOptions): RealtimeOptions {
  return {
    ...(idleTimeout === undefined ? {} : { idleTimeout }),
    ...(pingInterval === undefined ? {} : { pingInterval }),
    ...(drainTimeout === undefined ? {} : { drainTimeout }),
  }
}
