import { z } from 'zod'
import { count } from './wire.ts'

/** A model in `GET /v1/models`. */
export const modelCard = z.strictObject({
  id: z.string(),
  object: z.literal('model'),
  created: count.describe('Unix time, seconds.'),
  owned_by: z.string(),
  aliases: z.array(z.string()),
  status: z.strictObject({ value: z.enum(['loaded', 'loading', 'unloaded']) }),
})

export const modelList = z.strictObject({ object: z.literal('list'), data: z.array(modelCard) })
