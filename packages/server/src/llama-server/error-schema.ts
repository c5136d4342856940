import { z } from 'zod'

/** The shape of every failure. */
export const llamaServerErrorSchema = z.strictObject({
  error: z.strictObject({ code: z.int(), message: z.string(), type: z.string() }),
})
