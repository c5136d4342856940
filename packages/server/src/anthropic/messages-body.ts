import { z } from 'zod'
import type { ChatBody } from '../chat-body.ts'
import { describedAs } from '../described-as.ts'
import { empty, neutral } from '../neutral.ts'
import { returnProgress, sharedParameters } from '../parameters.ts'
import { strictArray } from '../strict-array.ts'
import { unsupportedParameters } from '../unsupported-parameters.ts'
import { unsupported } from '../validate.ts'
import { systemContent, textOf } from './content-block.ts'
import { chatMessagesOf, message } from './message.ts'
import { refineToolFields, toolFields, toolsInChatTerms } from './tools.ts'

const thinking = z.discriminatedUnion(
  'type',
  [
    z.object({ type: z.literal('enabled'), budget_tokens: z.int().min(0).nullish(), display: z.string().nullish() }),
    z.object({ type: z.literal('adaptive'), display: z.string().nullish() }),
    z.object({ type: z.literal('disabled') }),
  ],
  'must have the type enabled, adaptive or disabled',
)

const jsonSchema = z.object({ type: z.literal('json_schema'), schema: z.record(z.string(), z.unknown()) })

const format = describedAs(
  z
    .looseObject({ type: z.string() })
    .refine(({ type }) => type === 'json_schema', {
      path: ['type'],
      error: 'only "json_schema" is supported',
      ...unsupported,
    })
    .pipe(jsonSchema),
  jsonSchema,
)

/** What decides on the prompt: the body of `/v1/messages/count_tokens`, too. */
const promptFields = {
  // Any name is accepted and the answer names the loaded model.
  model: z.string().nullish(),
  messages: strictArray(message),
  system: systemContent.nullish(),
  thinking: thinking.nullish(),
  output_config: z.object({ effort: z.string().nullish(), format: format.nullish() }).nullish(),
  // Its former place.
  output_format: format.nullish(),
  ...toolFields,
}

type PromptFields = z.infer<z.ZodObject<typeof promptFields>>

/** The body of `POST /v1/messages/count_tokens`. */
export const countBody = z.object(promptFields).superRefine(refineToolFields)

export type CountBody = z.infer<typeof countBody>

/** The body of `POST /v1/messages`. */
export const messagesBody = z
  .object({
    ...unsupportedParameters,
    ...promptFields,
    // 0 computes the prompt and says nothing.
    max_tokens: z.int().min(0),
    temperature: z.number().min(0).max(1).nullish(),
    top_k: z.int().min(0).nullish(),
    top_p: z.number().min(0).max(1).nullish(),
    stop_sequences: strictArray(z.string().min(1, 'must not be empty'), { least: 0, most: 16 }).nullish(),
    stream: z.boolean().nullish(),
    // What Anthropic's servers do beside the model.
    container: neutral([]),
    mcp_servers: neutral([], empty),
    context_management: neutral([], empty),
    compaction: neutral([]),
    thread: neutral([]),
    // Ours.
    tier: sharedParameters.tier,
    cache_salt: sharedParameters.cache_salt,
    return_progress: returnProgress,
  })
  .superRefine(refineToolFields)

export type MessagesBody = z.infer<typeof messagesBody>

/** What Anthropic calls the field that says what the reply must look like. */
export function formField({ output_config: output, output_format: former }: PromptFields): string {
  return former && !output?.format ? 'output_format.schema' : 'output_config.format.schema'
}

/** A request in OpenAI's terms. */
export function chatBodyOf(body: MessagesBody): ChatBody {
  return {
    ...promptInChatTerms(body),
    max_tokens: body.max_tokens,
    temperature: body.temperature,
    top_k: body.top_k,
    top_p: body.top_p,
    stop: body.stop_sequences,
    stream: body.stream,
    return_progress: body.return_progress,
    tier: body.tier,
    cache_salt: body.cache_salt,
    json_schema: (body.output_config?.format ?? body.output_format)?.schema,
  }
}

/** The prompt of a request in OpenAI's terms. */
export function promptInChatTerms(body: PromptFields): ChatBody {
  const { system, thinking, output_config: output } = body
  // Templates know three levels.
  const effort = output?.effort === 'xhigh' || output?.effort === 'max' ? 'high' : output?.effort
  return {
    messages: [
      ...(system ? [{ role: 'system', content: textOf(system) }] : []),
      ...body.messages.flatMap((message) => chatMessagesOf(message)),
    ],
    ...(thinking && { enable_thinking: thinking.type !== 'disabled' }),
    ...(thinking?.type === 'enabled' && { thinking_budget_tokens: thinking.budget_tokens }),
    ...(effort && { chat_template_kwargs: { reasoning_effort: effort } }),
    ...toolsInChatTerms(body),
  }
}
