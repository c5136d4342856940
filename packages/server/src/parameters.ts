import { z } from 'zod'
import { list } from './list.ts'
import { unsupported } from './validate.ts'

/** Most choices per prompt (`n`). */
const MAX_N = 8

/** Most choices of one request, over all its prompts. Each is a sequence in the engine or waits for a place in it. */
export const MAX_CHOICES = 64

/** Most stop strings. OpenAI allows 4, which some agents exceed. */
const MAX_STOPS = 16

const stop = z.string().min(1, 'a stop string must not be empty')

/**
 * The parameters that mean the same in `/v1/chat/completions` and `/v1/completions`. OpenAI's clients send `null` for
 * "not set", so each of them may be null.
 */
export const sharedParameters = {
  // Any name is accepted and the answer names the loaded model: clients come with the name of some other model built in.
  model: z.string().nullish(),
  max_tokens: z.int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  // -1 is how clients of other servers switch it off.
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  n: z.int().min(1).max(MAX_N).nullish(),
  stop: z.union([stop, list(stop, { least: 0, most: MAX_STOPS })], 'must be a string or an array of strings').nullish(),
  stream: z.boolean().nullish(),
  stream_options: z
    .object({
      include_usage: z.boolean().nullish(),
      include_provisional: z.boolean().nullish(),
      min_stability: z.number().min(0).max(1).nullish(),
    })
    .nullish(),
  speculate: z.boolean().nullish(),

  // Everything below would change the reply and cannot be honoured yet. It is refused rather than ignored, so that
  // nobody takes an ordinary reply for a constrained one.
  frequency_penalty: neutral([0]),
  presence_penalty: neutral([0]),
  repetition_penalty: neutral([1]),
  repeat_penalty: neutral([1]),
  logit_bias: neutral([], isEmpty),
  min_tokens: neutral([0]),
  ignore_eos: neutral([false]),
  grammar: neutral(['']),
  json_schema: neutral([]),
  use_beam_search: neutral([false]),
}

/** Fields of {@link sharedParameters} as the rest of the server reads them. */
export type SharedParameters = z.infer<z.ZodObject<typeof sharedParameters>>

/**
 * A parameter this server does not honour: absent, null and the values that leave the reply as it is pass, everything
 * else is refused as `unsupported`.
 */
export function neutral(values: readonly unknown[], also: (value: unknown) => boolean = () => false) {
  const hint = values.length === 0 ? '' : ` or set it to ${values.map((value) => JSON.stringify(value)).join(' or ')}`
  return z
    .unknown()
    .optional()
    .refine((value) => value === undefined || value === null || values.includes(value) || also(value), {
      error: `is not supported by this server; leave it out${hint}`,
      ...unsupported,
    })
}

/** True for `[]` and `{}`. */
export function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

/** `stream_options` without `stream` is a mistake that would otherwise go unnoticed; OpenAI refuses it too. */
export function refineStreamOptions(body: SharedParameters, context: z.RefinementCtx): void {
  if (body.stream_options && !body.stream) {
    context.addIssue({ code: 'custom', path: ['stream_options'], message: 'needs "stream": true' })
  }
}
