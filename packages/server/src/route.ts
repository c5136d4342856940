import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify'
import { ServerError } from './errors.ts'
import type { Operation } from './openapi/operation.ts'
import type { StreamedBodies } from './upload-route.ts'
import { validate } from './validate.ts'

const methods: HTTPMethods[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

type Method = 'GET' | 'POST' | 'DELETE'
type Handler<Input> = (request: FastifyRequest, reply: FastifyReply, input: Input) => unknown

/** Registers a route, and for its other methods an answer that says which one it has. */
export function route<Input>(
  app: FastifyInstance,
  method: Method,
  url: string,
  operation: Operation<Input>,
  handler: Handler<Input>,
  hooks: StreamedBodies['hooks'] = {},
): void {
  addOperation(app, method, url, operation, handler, hooks)
  refuseOthers(app, [method], url)
}

/** Registers what one method of a path does. Its input is checked before it is handled. */
export function addOperation<Input>(
  app: FastifyInstance,
  method: Method,
  url: string,
  operation: Operation<Input>,
  handler: Handler<Input>,
  hooks: StreamedBodies['hooks'] = {},
): void {
  app.route({
    method,
    url,
    config: { operation },
    handler: (request, reply) =>
      handler(request, reply, validate(operation.input, method === 'POST' ? request.body : request.query)),
    ...hooks,
  })
}

/** Answers the other methods of a route with those it has. */
export function refuseOthers(app: FastifyInstance, own: readonly HTTPMethods[], url: string): void {
  const allowed = own.map((method) => (method === 'GET' ? 'GET, HEAD' : method)).join(', ')
  app.route({
    method: methods.filter((other) => !own.includes(other)),
    url,
    // Before the body is read: with the wrong method it does not matter what it says.
    onRequest: async (request, reply) => {
      reply.header('allow', allowed)
      throw new ServerError('method_not_allowed', `${request.method} is not allowed on this route, only ${allowed}`)
    },
    handler: () => {},
  })
}
