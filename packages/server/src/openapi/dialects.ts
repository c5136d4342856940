import type { z } from 'zod'
import { anthropicErrorSchema } from '../anthropic/error-schema.ts'
import { anthropicError } from '../anthropic/errors.ts'
import type { DialectError } from '../dialect.ts'
import { errorAnswer } from '../errors.ts'
import { llamaServerErrorSchema } from '../llama-server/error-schema.ts'
import { llamaServerError } from '../llama-server/errors.ts'
import { ollamaErrorSchema } from '../ollama/error-schema.ts'
import { ollamaError } from '../ollama/errors.ts'
import { openAiError } from './open-ai-error.ts'
import type { Dialect } from './operation.ts'

/** What routes of one protocol have in common. */
export interface DialectDescription {
  readonly description: string
  /** A failure as its clients are told of it. */
  readonly errorOf: (error: unknown, requestId: string) => DialectError
  /** The shape of all these bodies. */
  readonly error: z.ZodType
}

export const dialects: Readonly<Record<Dialect, DialectDescription>> = {
  openai: { description: 'OpenAI’s API: docs/server.md, docs/responses.md', errorOf: errorAnswer, error: openAiError },
  anthropic: {
    description: 'Anthropic’s API: docs/anthropic.md',
    errorOf: anthropicError,
    error: anthropicErrorSchema,
  },
  ollama: {
    description: 'Ollama’s API: docs/ollama.md',
    errorOf: ollamaError,
    error: ollamaErrorSchema,
  },
  'llama-server': {
    description: 'The own routes of llama.cpp’s server: docs/llama-server.md',
    errorOf: llamaServerError,
    error: llamaServerErrorSchema,
  },
  incipit: { description: 'What no other server has: docs/server.md', errorOf: errorAnswer, error: openAiError },
}
