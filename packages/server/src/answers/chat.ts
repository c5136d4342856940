import { z } from 'zod'
import { openAiError } from '../openapi/open-ai-error.ts'
import { besideChoices, finishReason, head, promptLogprobs } from './completion-head.ts'
import { count, lossy, timings, tokenLogprob, usage } from './wire.ts'

const logprobs = z.strictObject({ content: z.array(tokenLogprob), refusal: z.null() }).nullable()

const call = z.strictObject({
  id: z.string(),
  type: z.literal('function'),
  function: z.strictObject({ name: z.string(), arguments: z.string().describe('JSON.') }),
})

/** The answer of `POST /v1/chat/completions`. */
export const chatCompletion = z.strictObject({
  ...head('chat.completion'),
  choices: z.array(
    z.strictObject({
      index: count,
      message: z.strictObject({
        role: z.literal('assistant'),
        content: z.string().nullable(),
        refusal: z.null(),
        reasoning_content: z.string().optional(),
        tool_calls: z.array(call).optional(),
      }),
      logprobs,
      finish_reason: finishReason,
    }),
  ),
  prompt_logprobs: promptLogprobs.optional(),
  usage,
  timings,
  lossy,
})

const delta = z.strictObject({
  role: z.literal('assistant').optional(),
  content: z.string().nullable().optional(),
  refusal: z.null().optional(),
  reasoning_content: z.string().optional(),
  tool_calls: z
    .array(
      z.strictObject({
        index: count,
        id: z.string().optional(),
        type: z.literal('function').optional(),
        function: z.strictObject({ name: z.string().optional(), arguments: z.string() }),
      }),
    )
    .optional(),
})

const chunk = z.strictObject({
  ...head('chat.completion.chunk'),
  choices: z.array(z.strictObject({ index: count, delta, logprobs, finish_reason: finishReason.nullable() })),
  ...besideChoices,
})

/** The data of an event of its stream, which `[DONE]` ends. */
export const chatEvent = z.union([chunk, openAiError])
