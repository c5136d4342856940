import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Log, Policy, TierName } from '@incipit/engine/api'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, type RouteHandlerMethod } from 'fastify'
import { mountAnthropic } from './anthropic/mount.ts'
import { bearer } from './auth.ts'
import { chatBody } from './chat-body.ts'
import { templateOptions } from './chat-form.ts'
import { completionBody } from './completion-body.ts'
import { type ConstraintChecker, checkConstraint } from './constraint.ts'
import { allowAnyOrigin } from './cors.ts'
import type { DialectOptions } from './dialect.ts'
import { embeddings } from './embeddings.ts'
import { engineCard } from './engine-card.ts'
import { errorAnswer, ServerError } from './errors.ts'
import { chatFormat, completionFormat } from './format.ts'
import { mountLlamaServer } from './llama-server/mount.ts'
import { type ModelCard, type ModelDirectory, unknownModel } from './models/model-directory.ts'
import { singleModel } from './models/single-model.ts'
import { modelNameIn, withModel } from './models/with-model.ts'
import { cacheSaltOf, saltedModels } from './namespace.ts'
import { mountOllama } from './ollama/mount.ts'
import { pageAnswer, pageFiles } from './page.ts'
import { prefill } from './prefill.ts'
import { mountRealtime, REALTIME_PATH } from './realtime/route.ts'
import { reasoningPlace } from './reasoning-place.ts'
import { planChat, planCompletion } from './request-plan.ts'
import { requireExit } from './require-exit.ts'
import { respond } from './respond.ts'
import { keepAliveMs } from './response-stream.ts'
import { mountResponses, RESPONSES_PATH, responsesPaths } from './responses/route.ts'
import { refuseOthers, route } from './route.ts'
import type { ServedEmbedder } from './served-embedder.ts'
import type { ServedEngine } from './served-engine.ts'
import type { SocketBounds } from './socket/bounds.ts'
import { authorizationOf, isWebSocketUpgrade } from './socket/handshake.ts'
import { SocketRoutes } from './socket/socket-routes.ts'
import { StepStreams } from './steps.ts'
import { streamedBodies } from './upload-route.ts'
import { validate } from './validate.ts'

export interface ServerOptions {
  /** What the API calls the model, of a server with one engine. Default: the engine's name for it, the file name without `.gguf`. */
  modelName?: string
  /** Makes the vectors of `/v1/embeddings`, of a server with one engine. Without it there are none. */
  embedder?: ServedEmbedder
  /** A server with one engine refuses requests for a model of another name. Default false. */
  strictModel?: boolean
  /** Milliseconds after which a stream that waits for its model to load sends a comment line, again and again. Default 10 s. */
  keepAlive?: number
  /** When set, every route but `/health` and the page wants `authorization: Bearer <apiKey>`. */
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
  /** Folder of a built page that is shown at `/`: `@incipit/playground` has one. Default: none. */
  page?: string | undefined
  /** Bounds of the sockets of `/v1/realtime` and `/v1/responses`. */
  realtime?: SocketBounds
  log?: Log
}

/** A context of a million tokens of text fits, JSON escapes included. */
const DEFAULT_BODY_LIMIT = 4 * 1024 * 1024

/** Milliseconds in which a whole request must have arrived; a connection that only trickles holds memory. */
const REQUEST_TIMEOUT = 120_000

/**
 * An OpenAI-compatible HTTP server over an engine, or over several models; see `docs/server.md` for endpoints and
 * parameters. It does not listen yet, and closing it cuts the connections but leaves the engine open.
 *
 * @param served one engine, or a directory of models, which then decides on names, tiers and policies
 *
 * @throws IncipitError `invalid_request` for a policy that is impossible on this model
 *
 * @example
 * const server = createServer(await Engine.load('model.gguf'))
 * await server.listen({ host: '127.0.0.1', port: 8080 })
 */
export function createServer(served: ServedEngine | ModelDirectory, options: ServerOptions = {}): FastifyInstance {
  const directory = 'use' in served ? served : directoryOf(served, options)
  const models = saltedModels(directory, cacheSaltOf(options.apiKey))
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
  const page = pageFiles(options.page)
  if (options.apiKey !== undefined) {
    const check = bearer(options.apiKey)
    app.addHook('onRequest', async (request) => {
      const { headers, routeOptions } = request
      const hasSocket = routeOptions.url === REALTIME_PATH || routeOptions.url === RESPONSES_PATH
      const authorization = hasSocket ? authorizationOf(headers) : headers.authorization
      if (authorization !== undefined) headers.authorization = authorization
      const { url } = routeOptions
      if (url !== '/health' && !(url !== undefined && page.has(url))) check(request)
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

  const waiting = { models, keepAlive: options.keepAlive ?? keepAliveMs, report }
  route(app, 'GET', '/health', async (_request, reply) => {
    if (models.failure === undefined) return { status: 'ok' }
    // Unavailable, whatever the code's own status is: who asks wants to know whether to send requests here.
    return reply.status(503).send(errorAnswer(models.failure).body)
  })

  for (const [url, file] of page) {
    route(app, 'GET', url, (request, reply) => {
      const { status, headers, body } = pageAnswer(file, request.headers)
      return reply.status(status).headers(headers).send(body)
    })
  }
  const steps = new StepStreams()
  route(app, 'GET', '/v1/steps', (request, reply) =>
    withModel(waiting, { model: modelNameIn(request.query) }, request, reply, ({ engine }) =>
      steps.respond(engine, request, reply),
    ),
  )
  route(app, 'GET', '/v1/engine', (request, reply) =>
    withModel(waiting, { model: modelNameIn(request.query) }, request, reply, async ({ name, engine }) =>
      reply.send(await engineCard(engine, name)),
    ),
  )

  const card = ({ name, aliases, status }: ModelCard) => ({
    id: name,
    object: 'model',
    created: started,
    owned_by: 'incipit',
    aliases,
    status: { value: status },
  })
  route(app, 'GET', '/v1/models', async () => ({ object: 'list', data: models.list().map(card) }))
  // A wildcard, because names may contain slashes.
  route(app, 'GET', '/v1/models/*', async (request) => {
    const { '*': id } = request.params as { '*': string }
    const all = models.list()
    const found = all.find(({ name, aliases }) => name === id || aliases.includes(id))
    if (found) return card(found)
    const names = all.map(({ name }) => name)
    throw unknownModel(id, names)
  })

  const bodies = streamedBodies(models)
  const chat: RouteHandlerMethod = (request, reply) => {
    const body = validate(chatBody, request.body)
    return withModel(waiting, body, request, reply, async ({ name, engine, defaults }) => {
      const plan = planChat(body, defaults, engine.info, await reasoningPlace(engine, templateOptions(body)))
      // Meanwhile the prompt is computed, as an input that is open.
      await checkConstraint(options.constraints, plan.constraint)
      const format = chatFormat({ model: name, ...plan })
      return respond(bodies.engineFor(request, engine), plan, format, request, reply, (error) => report(request, error))
    })
  }
  route(app, 'POST', '/v1/chat/completions', chat, bodies.hooks)
  route(app, 'POST', '/v1/completions', (request, reply) => {
    const body = validate(completionBody, request.body)
    return withModel(waiting, body, request, reply, async ({ name, engine, defaults }) => {
      const plan = planCompletion(body, engine.info, defaults)
      await checkConstraint(options.constraints, plan.constraint)
      const format = completionFormat({ model: name, ...plan })
      return respond(engine, plan, format, request, reply, (error) => report(request, error))
    })
  })

  route(app, 'POST', '/v1/prefill', (request, reply) =>
    withModel(waiting, { model: modelNameIn(request.body) }, request, reply, ({ name, engine }) =>
      prefill({ engine, model: name }, request, reply),
    ),
  )

  route(app, 'POST', '/v1/embeddings', (request, reply) => embeddings(models, request, reply))

  const dialect: DialectOptions = { ...waiting, constraints: options.constraints }
  mountAnthropic(app, dialect)
  mountOllama(app, dialect)
  mountLlamaServer(app, dialect)

  const sockets = new SocketRoutes(app, { bounds: options.realtime ?? {}, cors: options.cors ?? false, report })
  mountRealtime({ sockets, models, constraints: options.constraints, textLimit: bodyLimit, report })
  refuseOthers(app, ['GET'], REALTIME_PATH)
  mountResponses(app, { sockets, models, constraints: options.constraints, report })
  for (const [url, allowed] of Object.entries(responsesPaths)) refuseOthers(app, allowed, url)

  return app
}

function directoryOf(engine: ServedEngine, options: ServerOptions): ModelDirectory {
  const { tier, policy, alpha, modelName, strictModel = false } = options
  if (policy) requireExit(policy, engine.info, 'policy')
  return singleModel(engine, {
    name: modelName ?? engine.info.name,
    defaults: { tier, policy, alpha },
    strict: strictModel,
    embedder: options.embedder,
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
