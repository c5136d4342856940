import { z } from 'zod'
import { constraintParameters, refineConstraint } from './constraint.ts'
import { MAX_CHOICES, neutral, refineShared, returnProgress, sharedParameters } from './parameters.ts'
import { strictArray } from './strict-array.ts'

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
    prompt,
    // Number of likeliest tokens to tell of.
    logprobs: z.int().min(0).max(20).nullish(),
    echo: z.boolean().nullish(),
    // Text such as `<|im_end|>` is the special token, as everywhere else; false makes it text.
    parse_special: z.boolean().nullish(),
    // What stands behind the gap that the reply fills.
    suffix: z.string().nullish(),
    return_progress: returnProgress,
    // Anything above 1 would be a search over log probabilities.
    best_of: neutral([1]),
  })
  .superRefine(refineShared)
  .superRefine(refineConstraint)
  .refine((body) => body.prompt.length * (body.n ?? 1) <= MAX_CHOICES, {
    path: ['prompt'],
    error: `prompts times n must be at most ${MAX_CHOICES}`,
  })

export type CompletionBody = z.infer<typeof completionBody>
