import type { DialectError } from '../dialect.ts'
import { errorAnswer } from '../errors.ts'

const types: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
  504: 'timeout_error',
}

/** Anthropic's status for what passes by itself. */
const OVERLOADED = 529

/** A failure in the shape of Anthropic's API. Its message begins with the name of the parameter at fault. */
export function anthropicError(thrown: unknown, requestId: string): DialectError {
  const { status, headers, body } = errorAnswer(thrown)
  const { code, message } = body.error
  return {
    status: status === 503 ? OVERLOADED : status,
    headers: { ...headers, 'request-id': requestId },
    body: {
      type: 'error',
      error: {
        type: types[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error'),
        // Agents look for these words, and compact their history then.
        message: code === 'context_length_exceeded' ? `prompt is too long: ${message}` : message,
      },
      request_id: requestId,
    },
  }
}
