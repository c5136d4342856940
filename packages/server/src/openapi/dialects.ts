import { z } from 'zod'
import { anthropicError } from '../anthropic/errors.ts'
import type { DialectError } from '../dialect.ts'
import { errorAnswer } from '../errors.ts'
import { llamaServerError } from '../llama-server/errors.ts'
import { ollamaError } from '../ollama/errors.ts'
import type { Dialect } from './operation.ts'

/** What routes of one protocol have in common. */
export interface DialectDescription {
  readonly description: string
  /** A failure as its clients are told of it. */
  readonly errorOf: (error: unknown, requestId: string) => DialectError
  /** The shape of all these bodies. */
  readonly error: z.ZodType
}

const openAiError = z.strictObject({
  error: z.strictObject({
    message: z.string(),
    type: z.enum(['invalid_request_error', 'server_error']),
    param: z.string().nullable(),
    code: z.string(),
  }),
})

export const dialects: Readonly<Record<Dialect, DialectDescription>> = {
  openai: { description: 'OpenAI’s API: docs/server.md, docs/responses.md', errorOf: errorAnswer, error: openAiError },
  anthropic: {
    description: 'Anthropic’s API: docs/anthropic.md',
    errorOf: anthropicError,
    error: z.strictObject({
      type: z.literal('error'),
      error: z.strictObject({ type: z.string(), message: z.string() }),
      request_id: z.string(),
    }),
  },
  ollama: {
    description: 'Ollama’s API: docs/ollama.md',
    errorOf: ollamaError,
    error: z.strictObject({ error: z.string() }),
  },
  'llama-server': {
    description: 'The own routes of llama.cpp’s server: docs/llama-server.md',
    errorOf: llamaServerError,
    error: z.strictObject({ error: z.strictObject({ code: z.int(), message: z.string(), type: z.string() }) }),
  },
  incipit: { description: 'What no other server has: docs/server.md', errorOf: errorAnswer, error: openAiError },
}
