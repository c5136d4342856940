import { IncipitError } from '@incipit/engine/api'
import { z } from 'zod'
import { chatBody } from './chat-body.ts'
import { completionBody } from './completion-body.ts'
import { sharedParameters } from './parameters.ts'
import { validate } from './validate.ts'

const shared = {
  cache_salt: sharedParameters.cache_salt,
  cache_prompt: sharedParameters.cache_prompt.refine((value) => value !== false, {
    error: 'a prefill only computes what others are to find; false leaves it nothing to do',
  }),
}
const chat = z.object({ ...shared, messages: chatBody.shape.messages })
const completion = z.object({ ...shared, prompt: completionBody.shape.prompt, suffix: completionBody.shape.suffix })

/** The prompt of a request, in the two ways a request can have one. */
export type Prompt = z.infer<typeof chat> | z.infer<typeof completion>

/**
 * Reads the prompt and its namespace out of a body of `/v1/chat/completions` or `/v1/completions`; whatever else it says
 * does not matter to a prefill, so that a client can send the body it is going to send.
 *
 * @throws IncipitError `invalid_request` and ServerError `unsupported`, naming the parameter
 */
export function promptOf(body: unknown): Prompt {
  const has = (name: string) =>
    typeof body === 'object' && body !== null && name in body && body[name as keyof typeof body] !== null
  if (has('prompt') && has('messages')) {
    throw new IncipitError('invalid_request', 'give either messages or prompt', { param: 'prompt' })
  }
  return has('prompt') ? validate<Prompt>(completion, body) : validate<Prompt>(chat, body)
}
