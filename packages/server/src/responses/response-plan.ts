import type { ChatBody } from '../chat-body.ts'
import { templateOptions } from '../chat-form.ts'
import type { DeclaredConstraint } from '../constraint.ts'
import type { Item } from '../items/item.ts'
import { messagesOf } from '../items/messages-of.ts'
import { reasoningPlace } from '../reasoning-place.ts'
import { type PlanDefaults, planChat, type RequestPlan } from '../request-plan.ts'
import type { ServedEngine } from '../served-engine.ts'
import { chatTools } from '../tools/flat-tool-parameters.ts'
import type { ResponsesBody } from './responses-body.ts'

/**
 * What a `/v1/responses` body asks for: it is a chat that is told otherwise.
 *
 * @param conversation the items before the reply
 * @throws as `planChat`
 */
export async function planResponse(
  body: ResponsesBody,
  conversation: readonly Item[],
  engine: ServedEngine,
  defaults: PlanDefaults,
): Promise<RequestPlan> {
  const chat = chatOf(body, conversation)
  const plan = planChat(chat, defaults, engine.info, await reasoningPlace(engine, templateOptions(chat)))
  return { ...plan, constraint: plan.constraint && renamed(plan.constraint) }
}

function renamed({ form, ...declared }: DeclaredConstraint): DeclaredConstraint {
  const param = declared.param.startsWith('response_format') ? 'text.format.schema' : declared.param
  return { ...declared, param, ...(form && { form: renamed(form) }) }
}

function chatOf(body: ResponsesBody, conversation: readonly Item[]): ChatBody {
  const { text, reasoning, max_output_tokens: maxTokens, tools: _, tool_choice: __, ...shared } = body
  const top = body.top_logprobs ?? 0
  return {
    ...shared,
    ...chatTools(body),
    messages: messagesOf(conversation, body.instructions),
    max_completion_tokens: maxTokens,
    logprobs: tellsLogprobs(body),
    top_logprobs: top,
    reasoning_effort: reasoning?.effort,
    ...(text?.format && { response_format: formatOf(text.format) }),
    // A reply is an item of its own, also behind one of the assistant's.
    continue_final_message: false,
  }
}

function formatOf(format: NonNullable<NonNullable<ResponsesBody['text']>['format']>): ChatBody['response_format'] {
  if (format.type !== 'json_schema') return format
  const { name, schema, strict } = format
  return { type: 'json_schema', json_schema: { name, schema, strict } }
}

function tellsLogprobs({ include, top_logprobs: top }: ResponsesBody): boolean {
  return (top ?? 0) > 0 || (include?.includes('message.output_text.logprobs') ?? false)
}

/** Only the prompt is computed, nothing is said. */
export function isPrewarm({ prompt_cache_options: options, generate }: ResponsesBody): boolean {
  return (options?.prewarm ?? false) || generate === false
}
