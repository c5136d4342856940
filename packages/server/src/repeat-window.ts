import { z } from 'zod'
import type { SharedParameters } from './parameters.ts'
import { unsupported } from './validate.ts'

/** Penalties in llama.cpp's terms, which Ollama has, too. */
export const penaltyFields = {
  repeat_penalty: z.number().min(0.01).max(100).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  // Over how many of the last tokens they look: -1 is all, 0 none.
  repeat_last_n: z.int().min(-1).nullish(),
}

type PenaltyFields = z.infer<z.ZodObject<typeof penaltyFields>>

/** Our penalties look at all tokens. A window is refused where it would make a difference. */
export function refineRepeatWindow(fields: PenaltyFields, context: z.RefinementCtx): void {
  const {
    repeat_last_n: window,
    repeat_penalty: repeat,
    presence_penalty: presence,
    frequency_penalty: frequency,
  } = fields
  const penalises = (repeat ?? 1) !== 1 || Boolean(presence) || Boolean(frequency)
  if (!penalises || typeof window !== 'number' || window <= 0) return
  const message = 'is not supported by this server, whose penalties look at all tokens; set it to -1'
  context.addIssue({ code: 'custom', path: ['repeat_last_n'], message, ...unsupported })
}

/** The same in OpenAI's terms. */
export function penaltiesOf({
  repeat_last_n: window,
  ...penalties
}: PenaltyFields): Pick<SharedParameters, 'repeat_penalty' | 'presence_penalty' | 'frequency_penalty'> {
  if (window === 0) return {}
  const { repeat_penalty, presence_penalty, frequency_penalty } = penalties
  return { repeat_penalty, presence_penalty, frequency_penalty }
}
