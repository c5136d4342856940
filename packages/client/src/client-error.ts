/** A request that the server refused or could not finish. */
export class ClientError extends Error {
  /** HTTP status of the response; 200 when the failure came after the stream had begun. */
  readonly status: number
  /** The server's error code where it gave one, else `http_error`, `stream_error` or `incomplete_stream`. */
  readonly code: string
  /** The request parameter that the server complains about, where it named one. */
  readonly param?: string

  constructor(status: number, code: string, message: string, param?: string) {
    super(message)
    this.name = 'ClientError'
    this.status = status
    this.code = code
    if (param !== undefined) this.param = param
  }
}

/** The error in a body of the OpenAI shape `{error: {message, code, type, param}}`, or in whatever else came. */
export function errorFrom(status: number, body: unknown, fallback: { code: string; message: string }): ClientError {
  const error = memberOf(body, 'error')
  if (typeof error === 'string') return new ClientError(status, fallback.code, error)
  // Proxies and older servers answer {code, message} without the wrapper.
  const source = error ?? body
  const message = memberOf(source, 'message')
  const code = memberOf(source, 'code') ?? memberOf(source, 'type')
  const param = memberOf(source, 'param')
  return new ClientError(
    status,
    typeof code === 'string' || typeof code === 'number' ? String(code) : fallback.code,
    typeof message === 'string' && message !== '' ? message : fallback.message,
    typeof param === 'string' ? param : undefined,
  )
}

/** A member of a value that may be anything. */
export function memberOf(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined
}
