import { z } from 'zod'
import { isEmpty, neutral, refineShared, sharedParameters } from './parameters.ts'
import { strictArray } from './strict-array.ts'
import { textOf, textPart } from './text-part.ts'
import { unsupported } from './validate.ts'

const roles = ['system', 'developer', 'user', 'assistant'] as const
const toolRoles = ['tool', 'function']

/** A turn of a conversation. */
export const chatMessage = z
  .object({
    role: z.string().superRefine((role, context) => {
      if ((roles as readonly string[]).includes(role)) return
      const message = `must be one of ${roles.map((name) => `"${name}"`).join(', ')}`
      // Sound in OpenAI's API, but nothing here can call tools.
      if (toolRoles.includes(role)) context.addIssue({ code: 'custom', message, ...unsupported })
      else context.addIssue({ code: 'custom', message })
    }),
    // Before `content`: a message that calls tools has none, and the calls are what the client must hear about.
    tool_calls: neutral([], isEmpty),
    function_call: neutral([]),
    audio: neutral([]),
    content: z.union([z.string(), strictArray(textPart)], 'must be a string or an array of text parts'),
    name: z.string().nullish(),
  })
  .transform(({ role, content, name }) => ({
    // Chat templates know `system`; `developer` is OpenAI's newer name for the same voice.
    role: role === 'developer' ? 'system' : role,
    content: textOf(content),
    ...(name ? { name } : {}),
  }))

/** The body of `POST /v1/chat/completions`. */
export const chatBody = z
  .object({
    ...sharedParameters,
    messages: strictArray(chatMessage),
    max_completion_tokens: z.int().min(1).nullish(),
    logprobs: neutral([false]),
    top_logprobs: neutral([0]),
    tools: neutral([], isEmpty),
    tool_choice: neutral(['none', 'auto']),
    functions: neutral([], isEmpty),
    function_call: neutral(['none', 'auto']),
    response_format: neutral(
      [],
      (value) => typeof value === 'object' && value !== null && 'type' in value && value.type === 'text',
    ),
    modalities: neutral([], (value) => Array.isArray(value) && value.every((item) => item === 'text')),
    audio: neutral([]),
    web_search_options: neutral([]),
  })
  .superRefine(refineShared)

export type ChatBody = z.infer<typeof chatBody>
