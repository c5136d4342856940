import { type ErrorCode, IncipitError } from '@incipit/engine/api'
import { wireNames } from './wire-names.ts'

/**
 * Failures that only exist over HTTP, with their status. The engine's own codes are in its `errorCodes`; both tables
 * are explained in `docs/errors.md`, and a test keeps that page and the tables equal.
 */
export const serverErrorCodes = {
  /** The request is not HTTP as it should be: malformed head, wrong content-length, undecodable URL. */
  bad_request: 400,
  /** The body is not JSON. */
  invalid_json: 400,
  /** The request asks for something this server does not do; `param` names it. */
  unsupported: 400,
  /** The response to go on with is not kept here. */
  previous_response_not_found: 400,
  /** The server wants a bearer key, and the one that came is missing or wrong. */
  invalid_api_key: 401,
  /** A web page of another origin may not open a socket here. */
  origin_refused: 403,
  /** No such route. */
  not_found: 404,
  /** No response, or item of one, with this id is kept here. */
  response_not_found: 404,
  /** The route exists, but not for this method; the `allow` header lists the ones it has. */
  method_not_allowed: 405,
  /** The request head or body did not arrive in time. */
  request_timeout: 408,
  /** The body is larger than the server's limit. */
  body_too_large: 413,
  /** The body is not declared as `application/json`. */
  unsupported_media_type: 415,
  /** More events in a second than a socket may send. */
  rate_limited: 429,
  /** The request head is larger than the HTTP parser accepts. */
  headers_too_large: 431,
  /** A defect of the server; its log has the details. */
  internal: 500,
  /** The model is still loading. */
  loading: 503,
} as const

export type ServerErrorCode = keyof typeof serverErrorCodes

/** A failure of the HTTP layer, as opposed to an `IncipitError` of the engine. */
export class ServerError extends Error {
  readonly code: ServerErrorCode
  /** Name of the offending request parameter, where there is one. */
  readonly param?: string

  constructor(code: ServerErrorCode, message: string, options: { cause?: unknown; param?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.name = 'ServerError'
    this.code = code
    if (options.param !== undefined) this.param = options.param
  }

  /** HTTP status that belongs to the code. */
  get status(): number {
    return serverErrorCodes[this.code]
  }
}

/** The body of every error answer, in the shape of OpenAI's API. */
interface WireError {
  error: {
    message: string
    type: 'invalid_request_error' | 'server_error'
    param: string | null
    code: WireCode
  }
}

/** OpenAI's word for a prompt that is too long: agents compact their history when they read it. */
const contextLength = 'context_length_exceeded'

type WireCode = Exclude<ErrorCode, 'context_overflow'> | typeof contextLength | ServerErrorCode

/** What a failure looks like to a client. */
export interface ErrorAnswer {
  status: number
  headers: Record<string, string>
  body: WireError
}

/** What passes by itself, and after how many seconds another try is worth it. */
const retryAfter: Partial<Record<ErrorCode | ServerErrorCode, number>> = { overloaded: 1, loading: 1, engine_died: 5 }

/**
 * Any thrown value as an answer. Errors that were thrown on purpose keep their code and message; of everything else the
 * client learns only that something went wrong here, because the message may hold paths or other private things.
 */
export function errorAnswer(thrown: unknown): ErrorAnswer {
  const error = named(thrown)
  const seconds = retryAfter[error.code]
  return {
    status: error.status,
    headers: seconds === undefined ? {} : { 'retry-after': String(seconds) },
    body: {
      error: {
        message: error.message,
        // A 499 is the client's own doing, like every other 4xx.
        type: error.status < 500 ? 'invalid_request_error' : 'server_error',
        param: error.param ?? null,
        code: error.code === 'context_overflow' ? contextLength : error.code,
      },
    },
  }
}

function named(thrown: unknown): IncipitError | ServerError {
  if (thrown instanceof ServerError) return thrown
  if (thrown instanceof IncipitError) return inWireNames(discreet(thrown))
  return fromFastify(thrown) ?? new ServerError('internal', 'internal error; the log of the server has the details')
}

/** What the engine says of one of its options concerns the field of the request. */
function inWireNames(error: IncipitError): IncipitError {
  const { param = '' } = error
  if (!isRenamed(param)) return error
  const name = wireNames[param]
  return new IncipitError(error.code, error.message.replace(param, name), { cause: error, param: name })
}

function isRenamed(param: string): param is keyof typeof wireNames {
  return Object.hasOwn(wireNames, param)
}

/** The engine's last words quote whatever was thrown in it. */
function discreet(error: IncipitError): IncipitError {
  if (error.code !== 'engine_failed') return error
  return new IncipitError(error.code, 'a defect ended the engine; the log of the server has the details')
}

// What fastify throws before a handler runs, by its code. A code of a later fastify that is not listed here falls back to
// its status below.
const fastifyCodes: Record<string, ServerErrorCode> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'bad_request',
  FST_ERR_BAD_URL: 'bad_request',
}

function fromFastify(thrown: unknown): ServerError | undefined {
  if (!(thrown instanceof Error)) return undefined
  const { code, statusCode } = thrown as Error & { code?: unknown; statusCode?: unknown }
  const known = typeof code === 'string' ? fastifyCodes[code] : undefined
  if (known === 'unsupported_media_type') {
    return new ServerError(known, 'the body must be sent with the header "content-type: application/json"')
  }
  if (known !== undefined) return new ServerError(known, thrown.message, { cause: thrown })
  // JSON.parse and the guard against __proto__ throw a SyntaxError that carries status 400.
  if (thrown instanceof SyntaxError && statusCode === 400) {
    return new ServerError('invalid_json', `the body is not valid JSON: ${thrown.message}`, { cause: thrown })
  }
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new ServerError('bad_request', thrown.message, { cause: thrown })
  }
  return undefined
}
