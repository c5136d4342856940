import type { DialectError } from '../dialect.ts'
import { errorAnswer } from '../errors.ts'

/** A failure in the shape of Ollama's API: words alone. They begin with the name of the parameter at fault. */
export function ollamaError(thrown: unknown): DialectError {
  const { status, headers, body } = errorAnswer(thrown)
  return { status, headers, body: { error: body.error.message } }
}
