import type { ModelInfo } from '@incipit/engine/api'
import { z } from 'zod'
import type { ChatBody } from '../chat-body.ts'
import type { CompletionBody } from '../completion-body.ts'
import { ServerError } from '../errors.ts'
import { empty, neutral } from '../neutral.ts'
import { inChatTerms, requestFields } from './request-fields.ts'

/** The body of `POST /api/generate`. */
export const generateBody = z.object({
  ...requestFields,
  prompt: z.string().nullish(),
  // What stands behind the gap that the reply fills.
  suffix: z.string().nullish(),
  system: z.string().nullish(),
  // The prompt is what the model reads, without its template.
  raw: z.boolean().nullish(),
  template: neutral(['']),
  // A former conversation as tokens.
  context: neutral([], empty),
})

type GenerateBody = z.infer<typeof generateBody>

/**
 * A request in OpenAI's terms: a conversation of one message, or a raw prompt where the body says so, where a gap is to be
 * filled, and for a model without a template.
 *
 * @throws ServerError `unsupported` for a system message where there is no conversation
 */
export function generateTermsOf(body: GenerateBody, { hasChatTemplate }: ModelInfo): ChatBody | CompletionBody {
  const { system } = body
  // A gap may be at the beginning.
  const prompt = body.prompt ?? ''
  const shared = inChatTerms(body)
  const top = body.top_logprobs ?? 0
  if (hasChatTemplate && !body.raw && !body.suffix) {
    return {
      ...shared,
      messages: [...(system ? [{ role: 'system', content: system }] : []), { role: 'user', content: prompt }],
      ...(body.logprobs && { logprobs: true, top_logprobs: top }),
    }
  }
  if (system) {
    throw new ServerError('unsupported', 'system: a raw prompt has no system message', { param: 'system' })
  }
  return { ...shared, prompt: [prompt], suffix: body.suffix, ...(body.logprobs && { logprobs: top }) }
}
