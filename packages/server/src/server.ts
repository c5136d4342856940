import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { Log, Policy, TierName } from '@incipit/engine/api'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { mountAnthropic } from './anthropic/mount.ts'
import { bearer } from './auth.ts'
import type { ConstraintChecker } from './constraint.ts'
import { allowAnyOrigin } from './cors.ts'
import type { DialectOptions } from './dialect.ts'
import { errorAnswer, ServerError } from './errors.ts'
import { mountLlamaServer } from './llama-server/mount.ts'
import { Metrics } from './metrics/metrics.ts'
import { addModelRoutes } from './model-routes.ts'
import type { ModelDirectory } from './models/model-directory.ts'
import { singleModel } from './models/single-model.ts'
import { cacheSaltOf, saltedModels } from './namespace.ts'
import { mountOllama } from './ollama/mount.ts'
import { addOpenAiRoutes } from './openai-routes.ts'
import { pageAnswer, pageFiles } from './page.ts'
import { mountRealtime, REALTIME_PATH } from './realtime/route.ts'
import { requireExit } from './require-exit.ts'
import { keepAliveMs } from './response-stream.ts'
import { mountResponses, RESPONSES_PATH, responsesPaths } from './responses/route.ts'
import { refuseOthers } from './route.ts'
import type { ServedEmbedder } from './served-embedder.ts'
import type { ServedEngine } from './served-engine.ts'
import { addServerRoutes } from './server-routes.ts'
import type { SocketBounds } from './socket/bounds.ts'
import { authorizationOf, isWebSocketUpgrade } from './socket/handshake.ts'
import { SocketRoutes } from './socket/socket-routes.ts'

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
  const metrics = new Metrics()
  const models = metrics.measured(saltedModels(directory, cacheSaltOf(options.apiKey)))
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
    metrics.count(request, reply)
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
      if (url !== '/health' && !(url !== undefined && page.has(url)) && !asksWhetherItRuns(request)) check(request)
    })
  }

  // A hook and not a handler, which would first read a body that no route will look at.
  app.addHook('onRequest', async (request, reply) => {
    if (asksWhetherItRuns(request)) return reply.type('text/plain; charset=utf-8').send('incipit is running\n')
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
  addServerRoutes(app, { models, metrics, secured: options.apiKey !== undefined })
  for (const [url, file] of page) {
    app.route({
      method: 'GET',
      url,
      handler: (request, reply) => {
        const { status, headers, body } = pageAnswer(file, request.headers)
        return reply.status(status).headers(headers).send(body)
      },
    })
    refuseOthers(app, ['GET'], url)
  }
  const dialect: DialectOptions = { ...waiting, constraints: options.constraints }
  addModelRoutes(app, waiting, started)
  addOpenAiRoutes(app, dialect)
  mountAnthropic(app, dialect)
  mountOllama(app, dialect)
  mountLlamaServer(app, dialect)

  const sockets = new SocketRoutes(app, { bounds: options.realtime ?? {}, cors: options.cors ?? false, report })
  mountRealtime({ sockets, models, constraints: options.constraints, textLimit: bodyLimit, report })
  refuseOthers(app, ['GET'], REALTIME_PATH)
  mountResponses(app, { ...dialect, sockets })
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

/** Desktop clients do, at `/`. Where there is a page, or the application has a route of its own, that answers. */
function asksWhetherItRuns({ is404, method, url }: FastifyRequest): boolean {
  return is404 && url === '/' && (method === 'GET' || method === 'HEAD')
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
