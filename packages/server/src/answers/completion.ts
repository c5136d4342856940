import { z } from 'zod'
import { openAiError } from '../openapi/open-ai-error.ts'
import { besideChoices, finishReason, head, promptLogprobs } from './completion-head.ts'
import { count, lossy, timings, usage } from './wire.ts'

const logprobs = z
  .strictObject({
    tokens: z.array(z.string()),
    token_logprobs: z.array(z.number().nullable()),
    top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
    text_offset: z.array(count),
  })
  .nullable()

const choice = z.strictObject({ index: count, text: z.string(), logprobs, finish_reason: finishReason })

/** The answer of `POST /v1/completions`. */
export const completion = z.strictObject({
  ...head('text_completion'),
  choices: z.array(choice.extend({ prompt_logprobs: promptLogprobs.optional() })),
  usage,
  timings,
  lossy,
})

const chunk = z.strictObject({
  ...head('text_completion'),
  choices: z.array(choice.extend({ finish_reason: finishReason.nullable() })),
  ...besideChoices,
})

/** The data of an event of its stream, which `[DONE]` ends. */
export const completionEvent = z.union([chunk, openAiError])
