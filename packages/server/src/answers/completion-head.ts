import { z } from 'zod'
import { count } from './wire.ts'

/** What an answer of OpenAI's older endpoints begins with. */
export function head<T extends string>(object: T) {
  return {
    id: z.string(),
    object: z.literal(object),
    created: count.describe('Unix time, seconds.'),
    model: z.string(),
  }
}

export const finishReason = z.enum(['stop', 'length', 'tool_calls'])

/** Of every token of the prompt, by token id; null of the first one. */
export const promptLogprobs = z.array(
  z
    .record(
      z.string(),
      z.strictObject({ logprob: z.number(), rank: z.int().min(1).nullable(), decoded_token: z.string() }),
    )
    .nullable(),
)
