import type { FastifyRequest } from 'fastify'
import type { ConstraintChecker } from '../constraint.ts'
import { watchClient } from '../disconnect.ts'
import { ServerError } from '../errors.ts'
import type { ModelDirectory, ModelInUse } from '../models/model-directory.ts'
import { noteServedModel } from '../models/served-model.ts'
import { modelQuery } from '../models/with-model.ts'
import { closeCodes } from '../socket/bounds.ts'
import type { SocketRoutes } from '../socket/socket-routes.ts'
import { Connection } from './connection.ts'
import { formOf } from './session-form.ts'
import { defaultsOf } from './settings.ts'

/** Where the socket is. */
export const REALTIME_PATH = '/v1/realtime'

export interface RealtimeRoute {
  sockets: SocketRoutes
  models: ModelDirectory
  constraints: ConstraintChecker | undefined
  /** Most text of a conversation, in UTF-16 units. */
  textLimit: number
  report: (request: FastifyRequest, error: unknown) => void
}

const operation = {
  id: 'connectRealtime',
  summary: 'A socket for input that is still being written.',
  dialect: 'incipit',
  input: modelQuery,
  uses: 'model',
  answers: {},
  socket: true,
} as const

/** Adds `/v1/realtime`; see `docs/realtime.md`. */
export function mountRealtime({ sockets, models, constraints, textLimit, report }: RealtimeRoute): void {
  sockets.add(REALTIME_PATH, {
    operation,
    hint: 'this is a WebSocket: connect to it with ws:// or wss://',
    prepare: async (request) => {
      const inUse = await useUntilClosed(models, request)
      const { engine, defaults } = inUse
      const open = engine.open?.bind(engine)
      if (open === undefined) throw new ServerError('unsupported', 'this server cannot stream input')
      const settings = defaultsOf(defaults, engine.info)
      const form = await formOf(settings, { engine, constraints }, 'session')
      return { inUse, open, defaults: { settings, form } }
    },
    connect: (client, { inUse, ...session }, request) => {
      const { name: model, engine } = inUse
      const guest = inUse.stay(() => client.close(closeCodes.normal, 'the model is unloaded, nobody used it here'))
      new Connection(client, {
        ...session,
        model,
        engine,
        guest,
        constraints,
        textLimit,
        report: (error) => report(request, error),
      })
    },
  })
}

/** Loads the model that a socket names in its address, where it is not loaded, for as long as the socket is there. */
async function useUntilClosed(models: ModelDirectory, request: FastifyRequest): Promise<ModelInUse> {
  const { model: name } = request.query as { model?: unknown }
  const client = watchClient(request)
  try {
    const model = await models.use(typeof name === 'string' && name !== '' ? name : undefined, client.signal)
    noteServedModel(request, model)
    const { socket } = request.raw
    if (socket.destroyed) model[Symbol.dispose]()
    else socket.once('close', () => model[Symbol.dispose]())
    return model
  } finally {
    client.end()
  }
}
