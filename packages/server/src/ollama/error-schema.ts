import { z } from 'zod'

/** The shape of every failure. */
export const ollamaErrorSchema = z.strictObject({ error: z.string() })
