import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { IncipitError, type Log, type Policy, type TierName } from '@incipit/engine/api'
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type HTTPMethods,
  type RouteHandlerMethod,
} from 'fastify'
import { bearer } from './auth.ts'
import { chatBody } from './chat-body.ts'
import { completionBody } from './completion-body.ts'
import { type ConstraintChecker, checkConstraint } from './constraint.ts'
import { allowAnyOrigin } from './cors.ts'
import { errorAnswer, ServerError } from './errors.ts'
import { chatFormat, completionFormat } from './format.ts'
import { cacheSaltOf, salted } from './namespace.ts'
import { requireExit } from './policy.ts'
import { prefill } from './prefill.ts'
import type { RealtimeOptions } from './realtime/connection.ts'
import { authorizationOf, isWebSocketUpgrade, REALTIME_PATH } from './realtime/handshake.ts'
import { mountRealtime } from './realtime/route.ts'
import { reasoningPlace } from './reasoning-place.ts'
import { type PlanDefaults, planChat, planCompletion, templateOptions } from './request-plan.ts'
import { respond } from './respond.ts'
import { mountResponses, RESPONSES_PATH, responsesPaths } from './responses/route.ts'
import type { ServedEngine } from './served-engine.ts'
import { type StreamedBodies, streamedBodies } from './upload-route.ts'
import { validate } from './validate.ts'

export interface ServerOptions {
  /** What the API calls the model. Default: the engine's name for it, the file name without `.gguf`. */
  modelName?: string
  /** When set, every route but `/health` wants `authorization: Bearer <apiKey>`. */
  apiKey?: string
  /** Largest request body in bytes. Default 4 MiB. */
  bodyLimit?: number
  /** Let pages of any origin call the API. Default false: then a browser keeps foreign pages out. */
  cors?: boolean
  /** Tier of requests that name none. Default `chat`. */
  tier?: TierName
  /**
   * Policy of requests that name none and do not say whether they want provisional text. Default `committed`;
   * `provisional` and `tolerant` apply to streams. `tolerant` and `confident` are lossy.
   */
  policy?: Policy
  /** Of the policy `tolerant`, where a request names none. Default 0.5. */
  alpha?: number
  /** Asked whether what a request wants its reply to look like can be compiled, before the engine has to do with it. */
  constraints?: ConstraintChecker
  /** Bounds of `/v1/realtime` connections. */
  realtime?: RealtimeOptions
  log?: Log
}

/** A context of a million tokens of text fits, JSON escapes included. */
const DEFAULT_BODY_LIMIT = 4 * 1024 * 1024

/** Milliseconds in which a whole request must have arrived; a connection that only trickles holds memory. */
const REQUEST_TIMEOUT = 120_000

/**
 * An OpenAI-compatible HTTP server over an engine; see `docs/server.md` for endpoints and parameters. It does not
 * listen yet, and closing it cuts the connections but leaves the engine open.
 *
 * @throws IncipitError `invalid_request` for a policy that is impossible on this model
 *
 * @example
 * const server = createServer(await Engine.load('model.gguf'))
 * await server.listen({ host: '127.0.0.1', port: 8080 })
 */
export function createServer(loaded: ServedEngine, options: ServerOptions = {}): FastifyInstance {
  const engine = salted(loaded, cacheSaltOf(options.apiKey))
  const { tier, policy, alpha } = options
  if (policy) requireExit(policy, engine.info, 'policy')
  const defaults: PlanDefaults = { tier, policy, alpha }
  const model = options.modelName ?? engine.info.name
  const bodyLimit = options.bodyLimit ?? DEFAULT_BODY_LIMIT
  const log: Log = options.log ?? (() => {})
  const started = Math.floor(Date.now() / 1000)

  const app = Fastify({
    bodyLimit,
    requestTimeout: REQUEST_TIMEOUT,
    // A stream may go on for minutes; who closes the server does not mean to wait for it.
    forceCloseConnections: true,
    http: { shouldUpgradeCallback: isWebSocketUpgrade },
    genReqId: () => `req_${randomUUID().replaceAll('-', '')}`,
    clientErrorHandler: answerSocket,
    frameworkErrors: (error, request, reply) => answerError(error, request, reply),
  })

  // Bodies are JSON. Fastify would also take text/plain, which a web page may send across origins without asking.
  app.removeContentTypeParser('text/plain')

  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
  })
  if (options.cors) app.addHook('onRequest', allowAnyOrigin)
  if (options.apiKey !== undefined) {
    const check = bearer(options.apiKey)
    app.addHook('onRequest', async (request) => {
      const { headers, routeOptions } = request
      const hasSocket = routeOptions.url === REALTIME_PATH || routeOptions.url === RESPONSES_PATH
      const authorization = hasSocket ? authorizationOf(headers) : headers.authorization
      if (authorization !== undefined) headers.authorization = authorization
      if (routeOptions.url !== '/health') check(request)
    })
  }

  // A hook and not a handler, which would first read a body that no route will look at.
  app.addHook('onRequest', async (request) => {
    if (request.is404) throw new ServerError('not_found', `no such route: ${request.method} ${request.url}`)
  })

  const report = (request: FastifyRequest, error: unknown) => {
    const { status, body } = errorAnswer(error)
    const line = `${request.method} ${request.url} ${request.id}: ${status} ${body.error.code}: ${body.error.message}`
    if (status < 500) log('debug', line)
    else log('error', error instanceof Error ? `${line}\n${error.stack}` : line)
  }
  function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    report(request, error)
    const { status, headers, body } = errorAnswer(error)
    reply.status(status).headers(headers).send(body)
  }
  app.setErrorHandler(answerError)

  route(app, 'GET', '/health', async (_request, reply) => {
    if (engine.failure === undefined) return { status: 'ok' }
    // Unavailable, whatever the code's own status is: who asks wants to know whether to send requests here.
    return reply.status(503).send(errorAnswer(engine.failure).body)
  })

  const card = { id: model, object: 'model', created: started, owned_by: 'incipit' }
  route(app, 'GET', '/v1/models', async () => ({ object: 'list', data: [card] }))
  // A wildcard, because names may contain slashes.
  route(app, 'GET', '/v1/models/*', async (request) => {
    const { '*': id } = request.params as { '*': string }
    if (id === model) return card
    throw new IncipitError('model_not_found', `the model ${JSON.stringify(id)} is not served here`, { param: 'model' })
  })

  const bodies = streamedBodies(engine)
  const chat: RouteHandlerMethod = async (request, reply) => {
    const body = validate(chatBody, request.body)
    const plan = planChat(body, defaults, engine.info, await reasoningPlace(engine, templateOptions(body)))
    // Meanwhile the prompt is computed, as an input that is open.
    await checkConstraint(options.constraints, plan.constraint)
    const format = chatFormat({ model, ...plan })
    return respond(bodies.engineFor(request), plan, format, request, reply, (error) => report(request, error))
  }
  route(app, 'POST', '/v1/chat/completions', chat, bodies.hooks)
  route(app, 'POST', '/v1/completions', async (request, reply) => {
    const plan = planCompletion(validate(completionBody, request.body), engine.info, defaults)
    await checkConstraint(options.constraints, plan.constraint)
    const format = completionFormat({ model, ...plan })
    return respond(engine, plan, format, request, reply, (error) => report(request, error))
  })

  route(app, 'POST', '/v1/prefill', (request, reply) => prefill({ engine, model }, request, reply))

  mountRealtime(app, {
    engine,
    model,
    cors: options.cors ?? false,
    defaults,
    textLimit: bodyLimit,
    report,
    ...options.realtime,
  })
  refuseOthers(app, ['GET'], REALTIME_PATH)

  mountResponses(app, {
    engine,
    model,
    cors: options.cors ?? false,
    defaults,
    constraints: options.constraints,
    report,
    ...options.realtime,
  })
  for (const [url, allowed] of Object.entries(responsesPaths)) refuseOthers(app, allowed, url)

  return app
}

const methods: HTTPMethods[] = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** Registers a route, and for its other methods an answer that says which one it has. */
function route(
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
function refuseOthers(app: FastifyInstance, own: readonly HTTPMethods[], url: string): void {
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

/** Answers what the HTTP parser could not make a request of; there is only a socket to write to. */
function answerSocket(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const { status, body } = errorAnswer(socketError(error))
  const text = JSON.stringify(body)
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'content-type: application/json; charset=utf-8',
    `content-length: ${Buffer.byteLength(text)}`,
    'connection: close',
  ]
  // `end` and not `destroy`, which would drop the answer. The parser is done with this socket, nothing else is read.
  socket.end(`${head.join('\r\n')}\r\n\r\n${text}`)
}

function socketError(error: Error & { code?: string }): ServerError {
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new ServerError('request_timeout', 'the request did not arrive in time')
  }
  if (error.code === 'HPE_HEADER_OVERFLOW') return new ServerError('headers_too_large', 'the request head is too large')
  return new ServerError('bad_request', 'this is not an HTTP request')
}
