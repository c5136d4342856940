import { z } from 'zod'
import { constraintParameters, refineConstraint } from './constraint.ts'
import { neutral } from './neutral.ts'
import {
  MAX_CHOICES,
  promptLogprobsParameter,
  refinePromptLogprobs,
  refineShared,
  returnProgress,
  sharedParameters,
  tokenLimit,
} from './parameters.ts'
import { strictArray } from './strict-array.ts'
import { unsupported } from './validate.ts'

const tokens = strictArray(z.int().min(0))

const onePrompt = z.union([z.string(), tokens], 'must be a string or an array of token ids')

/**
 * `prompt` in its spellings, always as a list: a text, an array of token ids, or an array of such prompts. A flat array
 * of numbers is one prompt.
 */
const prompt = z
  .union(
    [z.string(), strictArray(onePrompt, { most: MAX_CHOICES }), tokens],
    'must be a string, an array of token ids, or an array of such prompts',
  )
  .transform((value): (string | number[])[] => {
    if (typeof value === 'string') return [value]
    return isTokens(value) ? [value] : value
  })

function isTokens(value: (string | number[])[] | number[]): value is number[] {
  return typeof value[0] === 'number'
}

/** The body of `POST /v1/completions`. */
export const completionBody = z
  .object({
    ...sharedParameters,
    ...constraintParameters,
    ...promptLogprobsParameter,
    prompt,
    // 0 computes the prompt and says nothing: harnesses read what `echo` tells of it.
    max_tokens: z.union([tokenLimit, z.literal(0)], 'must be at least 0, or -1 for no bound').nullish(),
    // Number of likeliest tokens to tell of.
    logprobs: z.int().min(0).max(20).nullish(),
    echo: z.boolean().nullish(),
    // Text such as `<|im_end|>` is the special token, as everywhere else; false makes it text.
    parse_special: z.boolean().nullish(),
    // What stands behind the gap that the reply fills.
    suffix: z.string().nullish(),
    // llama-server's name of max_tokens, which wins over it there.
    n_predict: tokenLimit.nullish(),
    return_progress: returnProgress,
    best_of: z.int().min(1).nullish(),
    // The token that every prompt of the model begins with.
    add_special_tokens: neutral([true]),
  })
  .superRefine(refineShared)
  .superRefine(refineConstraint)
  .superRefine(refinePromptLogprobs)
  .refine((body) => !(body.echo && body.suffix && typeof body.logprobs === 'number'), {
    path: ['logprobs'],
    error: 'with echo and suffix is not supported: the prompt that is computed is another one than the echoed text',
    ...unsupported,
  })
  // More would be a search over log probabilities.
  .refine((body) => (body.best_of ?? 1) <= (body.n ?? 1), {
    path: ['best_of'],
    error: 'above n is not supported by this server; leave it out',
    ...unsupported,
  })
  .refine((body) => body.prompt.length * (body.n ?? 1) <= MAX_CHOICES, {
    path: ['prompt'],
    error: `prompts times n must be at most ${MAX_CHOICES}`,
  })

export type CompletionBody = z.infer<typeof completionBody>
