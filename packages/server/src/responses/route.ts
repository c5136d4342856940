import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { countTokens } from '../count-tokens.ts'
import type { DialectOptions } from '../dialect.ts'
import { whileConnected } from '../disconnect.ts'
import { ServerError } from '../errors.ts'
import type { ModelInUse } from '../models/model-directory.ts'
import { withModel } from '../models/with-model.ts'
import { definedHeaders } from '../response-stream.ts'
import { addOperation } from '../route.ts'
import type { SocketRoutes } from '../socket/socket-routes.ts'
import { EventStream, eventOf } from '../sse.ts'
import { loadingProgress } from '../wire.ts'
import { listItems } from './list-items.ts'
import { operations } from './operations.ts'
import { progressEvent } from './response-run.ts'
import { Responses } from './responses.ts'
import type { ResponsesBody } from './responses-body.ts'
import { ResponsesConnection } from './responses-connection.ts'

/** Where responses are made, by a request or over a socket. */
export const RESPONSES_PATH = '/v1/responses'

const ONE_PATH = `${RESPONSES_PATH}/:id`
const ITEMS_PATH = `${ONE_PATH}/input_items`
const COUNT_PATH = `${RESPONSES_PATH}/input_tokens`

/** The methods of each path. */
export const responsesPaths = {
  [RESPONSES_PATH]: ['GET', 'POST'],
  [ONE_PATH]: ['GET', 'DELETE'],
  [ITEMS_PATH]: ['GET'],
  [COUNT_PATH]: ['POST'],
} as const

interface ResponsesRoute extends DialectOptions {
  readonly sockets: SocketRoutes
}

/** Adds `/v1/responses`; see `docs/responses.md`. */
export function mountResponses(app: FastifyInstance, options: ResponsesRoute): void {
  const { models, constraints, report } = options
  const responses = new Responses(constraints)
  const waiting = { ...options, loadingEvent }
  addOperation(app, 'POST', RESPONSES_PATH, operations.create, (request, reply, body) =>
    withModel(waiting, body, request, reply, (model) => create(responses, body, model, request, reply, report)),
  )
  addOperation(app, 'GET', ONE_PATH, operations.get, async (request, _reply, { stream }) => {
    if (stream !== undefined && stream !== 'false') {
      throw new ServerError('unsupported', 'stream: a response that is over is not streamed again', { param: 'stream' })
    }
    return responses.store.require(idOf(request)).response
  })
  addOperation(app, 'DELETE', ONE_PATH, operations.delete, async (request) => {
    const { id } = responses.store.require(idOf(request)).response
    responses.store.delete(id)
    return { id, object: 'response', deleted: true }
  })
  addOperation(app, 'GET', ITEMS_PATH, operations.items, async (request, _reply, query) => {
    const { input } = responses.store.require(idOf(request))
    return listItems(input, query)
  })
  addOperation(app, 'POST', COUNT_PATH, operations.count, (request, reply, body) =>
    withModel(options, { model: body.model }, request, reply, async (model) => {
      const { engine, plan } = await responses.prepare(body, model)
      const tokens = await countTokens(engine, plan.choices[0]!)
      return reply.send({ object: 'response.input_tokens', input_tokens: tokens })
    }),
  )
  options.sockets.add(RESPONSES_PATH, {
    operation: operations.connect,
    hint: 'GET is for WebSockets here: connect with ws:// or wss://, or use POST',
    prepare: async () => {},
    connect: (client, _, request) => {
      new ResponsesConnection(client, { responses, models, report: (error) => report(request, error) })
    },
  })
}

function idOf(request: FastifyRequest): string {
  return (request.params as { id: string }).id
}

function loadingEvent(ms: number): string {
  const event = progressEvent(loadingProgress(ms))
  return eventOf(event, event.type)
}

/** Until the first byte an error is thrown, after it a stream ends with `response.failed`. */
async function create(
  responses: Responses,
  body: ResponsesBody,
  model: ModelInUse,
  request: FastifyRequest,
  reply: FastifyReply,
  report: DialectOptions['report'],
): Promise<FastifyReply> {
  return whileConnected(request, reply, async (signal) => {
    const prepared = await responses.prepare(body, model)
    const { run } = prepared
    await responses.start(prepared, signal)
    if (!body.stream) {
      for await (const _ of run.events()) {
        // It adds up.
      }
      responses.done(prepared)
      return await reply.send(run.response)
    }
    reply.hijack()
    const stream = new EventStream(reply.raw, definedHeaders(reply), signal)
    try {
      for await (const event of run.events()) {
        // Before the last event is sent, so that its reader can go on with it.
        if (run.response.status !== 'in_progress') responses.done(prepared)
        await stream.send(event, event.type)
      }
    } catch (error) {
      if (signal.aborted) return reply
      report(request, error)
      const event = run.failed(error)
      await stream.send(event, event.type)
    }
    stream.end()
    return reply
  })
}
