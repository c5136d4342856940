import { z } from 'zod'
import { count } from './wire.ts'

/** The answer of `POST /v1/embeddings`. */
export const embeddingsAnswer = z.strictObject({
  object: z.literal('list'),
  data: z.array(
    z.strictObject({
      object: z.literal('embedding'),
      index: count,
      embedding: z.union([z.array(z.number()), z.string().describe('Base64 of 32-bit floats.')]),
    }),
  ),
  model: z.string(),
  usage: z.strictObject({ prompt_tokens: count, total_tokens: count }),
  warning: z.string().optional(),
})
