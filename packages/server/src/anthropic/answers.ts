import { z } from 'zod'
import { count, progress } from '../answers/wire.ts'
import { anthropicErrorSchema } from './error-schema.ts'

const stop = {
  stop_reason: z
    .enum(['end_turn', 'max_tokens', 'stop_sequence', 'tool_use', 'model_context_window_exceeded'])
    .nullable(),
  stop_sequence: z.string().nullable(),
  stop_details: z.null(),
}

const tokens = {
  input_tokens: count,
  cache_creation_input_tokens: count,
  cache_read_input_tokens: count,
  output_tokens: count,
}

const block = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), text: z.string(), citations: z.null() }),
  z.strictObject({ type: z.literal('thinking'), thinking: z.string(), signature: z.string() }),
  z.strictObject({
    type: z.literal('tool_use'),
    id: z.string(),
    name: z.string(),
    input: z.record(z.string(), z.unknown()),
    caller: z.strictObject({ type: z.literal('direct') }),
  }),
])

/** The answer of `POST /v1/messages`. */
export const message = z.strictObject({
  id: z.string(),
  type: z.literal('message'),
  role: z.literal('assistant'),
  model: z.string(),
  content: z.array(block),
  ...stop,
  container: z.null(),
  usage: z.strictObject({
    ...tokens,
    cache_creation: z.null(),
    output_tokens_details: z.null(),
    server_tool_use: z.null(),
    service_tier: z.literal('standard'),
  }),
})

const delta = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text_delta'), text: z.string() }),
  z.strictObject({ type: z.literal('thinking_delta'), thinking: z.string() }),
  z.strictObject({ type: z.literal('signature_delta'), signature: z.string() }),
  z.strictObject({ type: z.literal('input_json_delta'), partial_json: z.string() }),
])

/** The data of an event of its stream. */
export const messageEvent = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('message_start'), message }),
  z.strictObject({ type: z.literal('content_block_start'), index: count, content_block: block }),
  z.strictObject({ type: z.literal('content_block_delta'), index: count, delta }),
  z.strictObject({ type: z.literal('content_block_stop'), index: count }),
  z.strictObject({
    type: z.literal('message_delta'),
    delta: z.strictObject({ ...stop, container: z.null() }),
    usage: z.strictObject(tokens),
  }),
  z.strictObject({ type: z.literal('message_stop') }),
  z.strictObject({ type: z.literal('ping'), prompt_progress: progress.optional() }),
  anthropicErrorSchema,
])

/** The answer of `POST /v1/messages/count_tokens`. */
export const tokenCount = z.strictObject({ input_tokens: count })
