import type { DialectError } from '../dialect.ts'
import { errorAnswer } from '../errors.ts'

const types: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  503: 'unavailable_error',
}

/** A failure in llama-server's shape. Its message begins with the name of the parameter at fault. */
export function llamaServerError(thrown: unknown): DialectError {
  const { status, headers, body } = errorAnswer(thrown)
  const { code, message } = body.error
  const other = status < 500 ? 'invalid_request_error' : 'server_error'
  const type = code === 'context_length_exceeded' ? 'exceed_context_size_error' : (types[status] ?? other)
  return { status, headers, body: { error: { code: status, message, type } } }
}
