import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { countTokens } from '../count-tokens.ts'
import { whileConnected } from '../disconnect.ts'
import { ServerError } from '../errors.ts'
import { definedHeaders } from '../response-stream.ts'
import type { SocketRoutes } from '../socket/socket-routes.ts'
import { EventStream } from '../sse.ts'
import { validate } from '../validate.ts'
import { listItems, listQuery } from './list-items.ts'
import { Responses, type ResponsesOptions } from './responses.ts'
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

interface ResponsesRoute extends ResponsesOptions {
  readonly sockets: SocketRoutes
  readonly report: (request: FastifyRequest, error: unknown) => void
}

/** Adds `/v1/responses`; see `docs/responses.md`. */
export function mountResponses(app: FastifyInstance, options: ResponsesRoute): void {
  const responses = new Responses(options)
  app.post(RESPONSES_PATH, (request, reply) => create(responses, request, reply, options.report))
  app.get(ONE_PATH, async (request) => {
    const { stream } = request.query as { stream?: string }
    if (stream !== undefined && stream !== 'false') {
      throw new ServerError('unsupported', 'stream: a response that is over is not streamed again', { param: 'stream' })
    }
    return responses.store.require(idOf(request)).response
  })
  app.delete(ONE_PATH, async (request) => {
    const { id } = responses.store.require(idOf(request)).response
    responses.store.delete(id)
    return { id, object: 'response', deleted: true }
  })
  app.get(ITEMS_PATH, async (request) => {
    const { input } = responses.store.require(idOf(request))
    return listItems(input, validate(listQuery, request.query))
  })
  app.post(COUNT_PATH, (request, reply) => count(responses, request, reply))
  options.sockets.add(RESPONSES_PATH, {
    hint: 'GET is for WebSockets here: connect with ws:// or wss://, or use POST',
    prepare: async () => {},
    connect: (client, _, request) => {
      new ResponsesConnection(client, responses, (error) => options.report(request, error))
    },
  })
}

function idOf(request: FastifyRequest): string {
  return (request.params as { id: string }).id
}

/** How many tokens a response would read, which is not begun. */
async function count(responses: Responses, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  return whileConnected(request, reply, async (signal) => {
    using prepared = await responses.prepare(request.body, { signal })
    const tokens = await countTokens(prepared.engine, prepared.plan.choices[0]!)
    return await reply.send({ object: 'response.input_tokens', input_tokens: tokens })
  })
}

/** Until the first byte an error is thrown, after it a stream ends with `response.failed`. */
async function create(
  responses: Responses,
  request: FastifyRequest,
  reply: FastifyReply,
  report: ResponsesRoute['report'],
): Promise<FastifyReply> {
  return whileConnected(request, reply, async (signal) => {
    using prepared = await responses.prepare(request.body, { signal })
    const { run, body } = prepared
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
