import type { FastifyReply, FastifyRequest } from 'fastify'

/** Seconds for which a browser may remember the answer to its preflight. */
const MAX_AGE = 86_400

/**
 * A hook that lets pages of any origin call the API and answers their preflights. Credentials in the browser's sense
 * (cookies) stay excluded by the `*`; a bearer key is a header, which the page sends itself.
 */
export async function allowAnyOrigin(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
  reply.header('access-control-allow-origin', '*')
  reply.header('access-control-expose-headers', 'x-request-id, retry-after')
  const { origin, 'access-control-request-method': preflight } = request.headers
  if (request.method !== 'OPTIONS' || origin === undefined || preflight === undefined) return undefined
  reply.header('access-control-allow-methods', 'GET, POST, DELETE')
  // `*` would leave out `authorization`, and the openai client adds headers of its own: allow what was asked for.
  const asked = request.headers['access-control-request-headers']
  if (asked !== undefined) reply.header('access-control-allow-headers', asked)
  reply.header('access-control-max-age', MAX_AGE)
  reply.header('vary', 'access-control-request-headers')
  return reply.status(204).send()
}
