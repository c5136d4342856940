import { z } from 'zod'
import { count, lossy, timings } from '../answers/wire.ts'
import { item } from '../items/item-schemas.ts'

const moment = count.describe('Unix time, seconds.')

const tool = z.strictObject({
  type: z.literal('function'),
  name: z.string(),
  description: z.string().nullable(),
  parameters: z.record(z.string(), z.unknown()).nullable(),
  strict: z.boolean(),
})

const usage = z.strictObject({
  input_tokens: count,
  input_tokens_details: z.strictObject({ cached_tokens: count, cache_write_tokens: count }),
  output_tokens: count,
  output_tokens_details: z.strictObject({ reasoning_tokens: count }),
  total_tokens: count,
})

/** A response. */
export const response = z.strictObject({
  id: z.string(),
  object: z.literal('response'),
  created_at: moment,
  completed_at: moment.nullable(),
  status: z.enum(['in_progress', 'completed', 'incomplete', 'failed']),
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
  incomplete_details: z.strictObject({ reason: z.literal('max_output_tokens') }).nullable(),
  output: z.array(item),
  usage: usage.nullable(),
  timings: timings.optional(),
  lossy,
  // How it was asked for.
  background: z.literal(false),
  instructions: z.string().nullable(),
  max_output_tokens: z.int().nullable(),
  metadata: z.record(z.string(), z.string()),
  model: z.string(),
  parallel_tool_calls: z.boolean(),
  previous_response_id: z.string().nullable(),
  prompt_cache_key: z.string().nullable(),
  reasoning: z.strictObject({ effort: z.string().nullable(), summary: z.string().nullable() }),
  safety_identifier: z.string().nullable(),
  service_tier: z.enum(['default', 'flex']),
  store: z.boolean(),
  temperature: z.number(),
  text: z.strictObject({ format: z.looseObject({ type: z.string() }), verbosity: z.string() }),
  tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]),
  tools: z.array(tool),
  top_logprobs: count,
  top_p: z.number(),
  truncation: z.literal('disabled'),
  user: z.string().optional(),
})

/** How many tokens a response would read. */
export const inputTokens = z.strictObject({ object: z.literal('response.input_tokens'), input_tokens: count })

export const deletedResponse = z.strictObject({
  id: z.string(),
  object: z.literal('response'),
  deleted: z.literal(true),
})

/** A page of items. */
export const itemList = z.strictObject({
  object: z.literal('list'),
  data: z.array(item),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
  has_more: z.boolean(),
})
