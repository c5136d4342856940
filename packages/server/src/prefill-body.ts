import { z } from 'zod'
import { chatBody } from './chat-body.ts'
import { completionBody } from './completion-body.ts'
import { describedAs } from './described-as.ts'
import { sharedParameters } from './parameters.ts'
import { refineTools, toolParameters } from './tools/tool-parameters.ts'

const { chat_template_kwargs, reasoning_effort, enable_thinking, add_generation_prompt, continue_final_message } =
  chatBody.shape

/**
 * The body of `POST /v1/prefill`: what of `/v1/chat/completions` or `/v1/completions` decides on the prompt, and its namespace.
 * Whatever else such a body says does not matter to a prefill, so that a client can send the one that it is going to send.
 */
export const prefillBody = z
  .object({
    model: sharedParameters.model,
    messages: chatBody.shape.messages.nullish(),
    ...toolParameters,
    chat_template_kwargs,
    reasoning_effort,
    enable_thinking,
    add_generation_prompt,
    continue_final_message,
    prompt: completionBody.shape.prompt.nullish(),
    suffix: completionBody.shape.suffix,
    parse_special: completionBody.shape.parse_special,
    cache_salt: sharedParameters.cache_salt,
    cache_prompt: describedAs(
      sharedParameters.cache_prompt.refine((value) => value !== false, {
        error: 'a prefill only computes what others are to find; false leaves it nothing to do',
      }),
      z.literal([true, null]),
    ),
  })
  .superRefine(refineTools)
  .superRefine(({ messages, prompt }, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    if (messages && prompt) refuse('prompt', 'give either messages or prompt')
    if (!messages && !prompt) refuse('messages', 'is missing, and so is prompt')
  })

export type PrefillBody = z.infer<typeof prefillBody>
