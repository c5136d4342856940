import { z } from 'zod'

/** A failure as OpenAI's clients are told of it. */
export const openAiError = z.strictObject({
  error: z.strictObject({
    message: z.string(),
    type: z.enum(['invalid_request_error', 'server_error']),
    param: z.string().nullable(),
    code: z.string(),
  }),
})
