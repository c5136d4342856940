import { z } from 'zod'
import { count, lossy, progress, provisional, timings, usage } from './wire.ts'

/** What an answer of OpenAI's older endpoints begins with. */
export function head<T extends string>(object: T) {
  return {
    id: z.string(),
    object: z.literal(object),
    created: count.describe('Unix time, seconds.'),
    model: z.string(),
  }
}

/** What an event of their streams has beside its choices. */
export const besideChoices = {
  provisional: provisional.extend({ index: count }).optional(),
  prompt_progress: progress.optional(),
  usage: usage.nullable().optional(),
  timings: timings.optional(),
  lossy,
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
