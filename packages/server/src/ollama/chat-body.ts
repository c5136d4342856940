import type { ChatMessage } from '@incipit/engine/api'
import { z } from 'zod'
import type { ChatBody } from '../chat-body.ts'
import { empty, neutral } from '../neutral.ts'
import { strictArray } from '../strict-array.ts'
import { refineTools, toolParameters } from '../tools/tool-parameters.ts'
import { inChatTerms, requestFields } from './request-fields.ts'

const toolCall = z.object({
  id: z.string().nullish(),
  function: z.object({ name: z.string().min(1), arguments: z.record(z.string(), z.unknown()).nullish() }),
})

const message = z
  .object({
    role: z.enum(['system', 'user', 'assistant', 'tool']),
    content: z.string().nullish(),
    thinking: z.string().nullish(),
    images: neutral([], empty),
    tool_calls: z.array(toolCall).nullish(),
    // Whose result this is: a call, or by its former form a tool.
    tool_call_id: z.string().nullish(),
    tool_name: z.string().nullish(),
  })
  .transform(
    ({ role, content, thinking, tool_calls: calls, tool_call_id: id, tool_name: name }): ChatMessage => ({
      role,
      content: content ?? '',
      ...(role === 'assistant' && thinking && { reasoning: thinking }),
      ...(role === 'assistant' && calls?.length && { toolCalls: calls.map(callOf) }),
      ...(role === 'tool' && id && { toolCallId: id }),
      ...(role === 'tool' && name && { name }),
    }),
  )

function callOf({ id, function: { name, arguments: input } }: z.infer<typeof toolCall>) {
  return { ...(id && { id }), name, arguments: JSON.stringify(input ?? {}) }
}

/** The body of `POST /api/chat`. */
export const chatBody = z
  .object({
    ...requestFields,
    messages: strictArray(message, { least: 0 }).nullish(),
    tools: toolParameters.tools,
  })
  .superRefine(refineTools)

/** A request in OpenAI's terms. */
export function chatTermsOf(body: z.infer<typeof chatBody>): ChatBody {
  return {
    ...inChatTerms(body),
    messages: body.messages ?? [],
    tools: body.tools,
    logprobs: body.logprobs,
    top_logprobs: body.logprobs ? body.top_logprobs : undefined,
  }
}
