import { z } from 'zod'
import { inputItem } from '../items/input-item.ts'
import { empty, neutral } from '../neutral.ts'
import { refineShared, returnProgress, sharedParameters, tokenLimit } from '../parameters.ts'
import { reasoningBudgetFields } from '../reasoning-budget.ts'
import { strictArray } from '../strict-array.ts'
import { flatToolParameters, refineFlatTools } from '../tools/flat-tool-parameters.ts'

const { n: _n, max_tokens: _maxTokens, ...shared } = sharedParameters

const format = z.discriminatedUnion(
  'type',
  [
    z.object({ type: z.literal('text') }),
    z.object({ type: z.literal('json_object') }),
    z.object({
      type: z.literal('json_schema'),
      name: z.string().nullish(),
      description: z.string().nullish(),
      schema: z.record(z.string(), z.unknown()),
      strict: z.boolean().nullish(),
    }),
  ],
  'must have the type text, json_object or json_schema',
)

/** What a response can tell beyond the ordinary. The rest concerns tools that run at OpenAI: of those there is nothing to tell. */
const includable = [
  'message.output_text.logprobs',
  'reasoning.encrypted_content',
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
] as const

const summary = z.enum(['auto', 'concise', 'detailed'])

/** Key-value pairs that come back with the response. */
const metadata = z
  .record(z.string().max(64), z.string().max(512))
  .refine((pairs) => Object.keys(pairs).length <= 16, 'must have at most 16 pairs')

/** The body of `POST /v1/responses`. */
export const responsesBody = z
  .object({
    ...shared,
    ...flatToolParameters,
    input: z
      .union([z.string(), strictArray(inputItem, { least: 0 })], 'must be a string or an array of items')
      .nullish(),
    instructions: z.string().nullish(),
    previous_response_id: z.string().nullish(),
    store: z.boolean().nullish(),
    max_output_tokens: tokenLimit.nullish(),
    top_logprobs: z.int().min(0).max(20).nullish(),
    include: z.array(z.enum(includable)).nullish(),
    text: z.object({ format: format.nullish(), verbosity: z.string().nullish() }).nullish(),
    reasoning: z
      .object({
        effort: z.string().nullish(),
        summary: summary.nullish(),
        generate_summary: summary.nullish(),
        // Which turns' reasoning the model reads is for its template to say.
        context: neutral(['auto']),
        mode: neutral(['standard']),
      })
      .nullish(),
    prompt_cache_options: z.object({ prewarm: z.boolean().nullish() }).nullish(),
    // What `prewarm` was called before, and still is over WebSocket.
    generate: z.boolean().nullish(),
    metadata: metadata.nullish(),
    user: z.string().nullish(),
    safety_identifier: z.string().nullish(),
    prompt_cache_key: z.string().nullish(),
    chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
    enable_thinking: z.boolean().nullish(),
    ...reasoningBudgetFields,
    return_progress: returnProgress,

    // Everything below would change the reply and cannot be honoured.
    background: neutral([false]),
    conversation: neutral([]),
    prompt: neutral([]),
    context_management: neutral([], empty),
    moderation: neutral([]),
    truncation: neutral(['disabled']),
    n: neutral([1]),
    // Of other endpoints.
    messages: neutral([]),
    max_tokens: neutral([]),
    max_completion_tokens: neutral([]),
    response_format: neutral([]),
    prompt_logprobs: neutral([]),
  })
  .superRefine(refineShared)
  .superRefine(refineFlatTools)
  .superRefine((body, context) => {
    const refuse = (path: string[], message: string, more = {}) =>
      context.addIssue({ code: 'custom', path, message, ...more })
    const empty = body.input === undefined || body.input === null || body.input.length === 0
    if (empty && typeof body.input !== 'string' && !body.previous_response_id && !body.instructions) {
      refuse(['input'], 'is missing')
    }
  })

export type ResponsesBody = z.infer<typeof responsesBody>
