import { z } from 'zod'
import { count, progress, provisional, tokenLogprob } from '../answers/wire.ts'
import { item, outputText, reasoningText, summaryText } from '../items/item-schemas.ts'
import { openAiError } from '../openapi/open-ai-error.ts'
import { response } from './answers.ts'

const number = { sequence_number: count }
const place = { item_id: z.string(), output_index: count, ...number }
const ofContent = { ...place, content_index: count }
const ofSummary = { ...place, summary_index: count }

function event<T extends string, Fields extends z.core.$ZodShape>(types: readonly [T, ...T[]], fields: Fields) {
  return z.strictObject({ type: z.enum(types), ...fields })
}

const told = z.discriminatedUnion('type', [
  event(['response.created', 'response.in_progress', 'response.completed', 'response.incomplete', 'response.failed'], {
    response,
    ...number,
  }),
  event(['response.output_item.added', 'response.output_item.done'], { output_index: count, item, ...number }),
  event(['response.content_part.added', 'response.content_part.done'], {
    ...ofContent,
    part: z.discriminatedUnion('type', [outputText, reasoningText]),
  }),
  event(['response.output_text.delta'], { ...ofContent, delta: z.string(), logprobs: z.array(tokenLogprob) }),
  event(['response.output_text.done'], { ...ofContent, text: z.string(), logprobs: z.array(tokenLogprob) }),
  event(['response.reasoning_text.delta'], { ...ofContent, delta: z.string() }),
  event(['response.reasoning_text.done'], { ...ofContent, text: z.string() }),
  event(['response.reasoning_summary_part.added', 'response.reasoning_summary_part.done'], {
    ...ofSummary,
    part: summaryText,
  }),
  event(['response.reasoning_summary_text.delta'], { ...ofSummary, delta: z.string() }),
  event(['response.reasoning_summary_text.done'], { ...ofSummary, text: z.string() }),
  event(['response.function_call_arguments.delta'], { ...place, delta: z.string() }),
  event(['response.function_call_arguments.done'], { ...place, name: z.string(), arguments: z.string() }),
  event(['keepalive'], {
    provisional: provisional.optional(),
    prompt_progress: progress.optional(),
    // Absent while the model is loading: nothing is numbered before the response is created.
    sequence_number: count.optional(),
  }),
])

/** The data of an event of a response's stream. The error is of a stream that waited for its model. */
export const responseEvent = z.union([told, openAiError])
