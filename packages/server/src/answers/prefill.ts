import { z } from 'zod'
import { count } from './wire.ts'

/** The answer of `POST /v1/prefill`. */
export const prefillAnswer = z.strictObject({
  object: z.literal('prefill'),
  model: z.string(),
  usage: z.strictObject({
    prompt_tokens: count,
    prompt_tokens_details: z.strictObject({ cached_tokens: count }),
  }),
})
