import type { FastifyInstance, HTTPMethods, RouteHandlerMethod } from 'fastify'
import { ServerError } from './errors.ts'
import type { StreamedBodies } from './upload-route.ts'

const methods: HTTPMethods[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** Registers a route, and for its other methods an answer that says which one it has. */
export function route(
  app: FastifyInstance,
  method: 'GET' | 'POST',
  url: string,
  handler: RouteHandlerMethod,
  hooks: StreamedBodies['hooks'] = {},
): void {
  app.route({ method, url, handler, ...hooks })
  refuseOthers(app, [method], url)
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
