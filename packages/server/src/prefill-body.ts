import { z } from 'zod'
import { chatBody } from './chat-body.ts'
import { completionBody } from './completion-body.ts'
import { describedAs } from './described-as.ts'
import { sharedParameters } from './parameters.ts'

/**
 * The body of `POST /v1/prefill`: the prompt of `/v1/chat/completions` or `/v1/completions` and its namespace. Whatever else
 * such a body says does not matter to a prefill, so that a client can send the one that it is going to send.
 */
export const prefillBody = z
  .object({
    model: sharedParameters.model,
    messages: chatBody.shape.messages.nullish(),
    prompt: completionBody.shape.prompt.nullish(),
    suffix: completionBody.shape.suffix,
    cache_salt: sharedParameters.cache_salt,
    cache_prompt: describedAs(
      sharedParameters.cache_prompt.refine((value) => value !== false, {
        error: 'a prefill only computes what others are to find; false leaves it nothing to do',
      }),
      z.literal([true, null]),
    ),
  })
  .superRefine(({ messages, prompt }, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message })
    if (messages && prompt) refuse('prompt', 'give either messages or prompt')
    if (!messages && !prompt) refuse('messages', 'is missing, and so is prompt')
  })

export type PrefillBody = z.infer<typeof prefillBody>
