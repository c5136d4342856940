import { z } from 'zod'

/** The shape of every failure. */
export const ollamaError = z.strictObject({ error: z.string() })
