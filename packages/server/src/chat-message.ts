import type { ChatMessage } from '@incipit/engine/api'
import { z } from 'zod'
import { describedAs } from './described-as.ts'
import { neutral } from './neutral.ts'
import { strictArray } from './strict-array.ts'
import { textOf, textPart } from './text-part.ts'
import { unsupported } from './validate.ts'

const roles = ['system', 'developer', 'user', 'assistant', 'tool'] as const

const role = describedAs(
  z.string().superRefine((role, context) => {
    if ((roles as readonly string[]).includes(role)) return
    const message = `must be one of ${roles.map((name) => `"${name}"`).join(', ')}`
    // The former name of tools.
    if (role === 'function') context.addIssue({ code: 'custom', message, ...unsupported })
    else context.addIssue({ code: 'custom', message })
  }),
  z.enum(roles),
)

const content = z.union(
  [z.string(), strictArray(textPart('text', 'refusal'), { least: 0 })],
  'must be a string or an array of text parts',
)

const toolCall = z.object({
  id: z.string().nullish(),
  type: z.literal('function').nullish(),
  function: z.object({
    name: z.string().min(1, 'must not be empty'),
    // OpenAI has JSON as text here; some clients send what it stands for.
    arguments: z.union([z.string(), z.record(z.string(), z.unknown())]).nullish(),
  }),
})

/** A message of `/v1/chat/completions`. */
export const chatMessage = z
  .object({
    role,
    function_call: neutral([]),
    audio: neutral([]),
    content: content.nullish(),
    // What OpenAI's models said instead of a content.
    refusal: z.string().nullish(),
    name: z.string().nullish(),
    tool_calls: z.union([strictArray(toolCall, { least: 0 }), z.null()]).optional(),
    tool_call_id: z.string().nullish(),
    // What a model thought, in the two names that servers give it.
    reasoning_content: z.string().nullish(),
    reasoning: z.unknown().optional(),
  })
  .superRefine(({ role, content, tool_calls: calls, tool_call_id: id }, context) => {
    const missing = (name: string, message: string) => context.addIssue({ code: 'custom', path: [name], message })
    // An assistant that calls tools, or that had nothing to say, has no content.
    if (role !== 'assistant' && isNothing(content)) missing('content', 'is missing')
    if (role !== 'assistant' && calls && calls.length > 0) missing('tool_calls', 'belongs to messages of the assistant')
    if (role === 'tool' && !id) missing('tool_call_id', 'is missing: which call does this answer?')
  })
  .transform(({ role, name, tool_calls: calls, tool_call_id: id, ...message }): ChatMessage => {
    const content = message.content ?? (role === 'assistant' ? message.refusal : undefined)
    const reasoning =
      message.reasoning_content ?? (typeof message.reasoning === 'string' ? message.reasoning : undefined)
    return {
      // Chat templates know `system`; `developer` is OpenAI's newer name for the same voice.
      role: role === 'developer' ? 'system' : role,
      content: textOf(content ?? ''),
      ...(name ? { name } : {}),
      ...(role === 'assistant' && reasoning ? { reasoning } : {}),
      ...(role === 'assistant' && calls && calls.length > 0 ? { toolCalls: calls.map(callOf) } : {}),
      ...(role === 'tool' && id ? { toolCallId: id } : {}),
    }
  })

function isNothing(content: unknown): content is null | undefined {
  return content === null || content === undefined
}

function callOf({ id, function: { name, arguments: json } }: z.infer<typeof toolCall>) {
  return { ...(id ? { id } : {}), name, arguments: typeof json === 'string' ? json : JSON.stringify(json ?? {}) }
}
