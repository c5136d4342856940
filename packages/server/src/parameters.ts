import { tierNames } from '@incipit/engine/api'
import { z } from 'zod'
import { describedAs } from './described-as.ts'
import { alpha, minStability, policy, policyProblem } from './policy.ts'
import { strictArray } from './strict-array.ts'
import { textOf, textPart } from './text-part.ts'
import { unsupportedParameters } from './unsupported-parameters.ts'

/** Most choices per prompt (`n`). */
const MAX_N = 8

/** Most choices of one request, over all its prompts. Each is a sequence in the engine or waits for a place in it. */
export const MAX_CHOICES = 64

/** Most stop strings. OpenAI allows 4, which some agents exceed. */
const MAX_STOPS = 16

/** Longest `cache_salt`, in UTF-16 units: every kept row is filed under it. */
const MAX_SALT = 256

/** A number of tokens, or -1 for no bound. */
export const tokenLimit = describedAs(
  z.int().refine((value) => value >= 1 || value === -1, 'must be at least 1, or -1 for no bound'),
  z.union([z.int().min(1), z.literal(-1)]),
)

/** llama-server's: a stream says how much of its prompt is computed. */
export const returnProgress = z.boolean().nullish()

/** llama-server's word for a token that may not come; the engine all but bans it with this bias. */
const never = z.literal(false).transform(() => -100)

const bias = z.union([z.number().min(-100).max(100), never], 'must be a number from -100 to 100, or false')
const biasedText = z.string().min(1, 'must not be empty')

/** By token id or text; as an object, or as llama-server's list of pairs. */
const logitBias = z.union(
  [
    z.record(biasedText, bias),
    strictArray(z.tuple([z.union([z.int().min(0), biasedText], 'must be a token id or a text'), bias]), { least: 0 }),
  ],
  'must give a number from -100 to 100, or false, for token ids or texts',
)

const stop = z.string().min(1, 'a stop string must not be empty')

/**
 * The parameters that mean the same in `/v1/chat/completions` and `/v1/completions`. OpenAI's clients send `null` for
 * "not set", so each of them may be null.
 */
export const sharedParameters = {
  // Any name is accepted and the answer names the loaded model: clients come with the name of some other model built in.
  model: z.string().nullish(),
  // -1 is llama-server's word for as many as there is room for.
  max_tokens: tokenLimit.nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  // -1 is how clients of other servers switch it off.
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  seed: z.int().nullish(),
  n: z.int().min(1).max(MAX_N).nullish(),
  stop: z
    .union([stop, strictArray(stop, { least: 0, most: MAX_STOPS })], 'must be a string or an array of strings')
    .nullish(),
  stream: z.boolean().nullish(),
  stream_options: z
    .object({
      include_usage: z.boolean().nullish(),
      include_provisional: z.boolean().nullish(),
      min_stability: minStability.nullish(),
    })
    .nullish(),
  speculate: z.boolean().nullish(),
  tier: z.enum(tierNames).nullish(),
  service_tier: z.string().nullish(),
  prediction: z
    .object({
      type: z.literal('content'),
      content: z.union([z.string(), strictArray(textPart('text'))], 'must be a string or an array of text parts'),
    })
    .transform(({ content }) => textOf(content))
    .nullish(),
  policy: policy.nullish(),
  alpha: alpha.nullish(),
  min_stability: minStability.nullish(),
  // llama-server's name.
  cache_prompt: z.boolean().nullish(),
  // vLLM's.
  cache_salt: z.string().min(1).max(MAX_SALT).nullish(),

  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  // vLLM's name, and llama-server's.
  repetition_penalty: z.number().min(0.01).max(100).nullish(),
  repeat_penalty: z.number().min(0.01).max(100).nullish(),
  // llama-server's: penalties look at so many of the last tokens; -1 is all of prompt and reply, 0 none.
  repeat_last_n: z.int().min(-1).nullish(),
  logit_bias: logitBias.nullish(),
  min_tokens: z.int().min(0).nullish(),
  ignore_eos: z.boolean().nullish(),

  ...unsupportedParameters,
}

/** Fields of {@link sharedParameters} as the rest of the server reads them. */
export type SharedParameters = Omit<z.infer<z.ZodObject<typeof sharedParameters>>, keyof typeof unsupportedParameters>

/** vLLM's number of likeliest tokens that are told with every token of the prompt. */
export const promptLogprobsParameter = { prompt_logprobs: z.int().min(0).max(20).nullish() }

type PromptLogprobsBody = Pick<SharedParameters, 'stream'> & z.infer<z.ZodObject<typeof promptLogprobsParameter>>

/** As in vLLM: they stand in the body, and a chunk has no place for them. */
export function refinePromptLogprobs(body: PromptLogprobsBody, context: z.RefinementCtx): void {
  if (!isSet(body.prompt_logprobs) || !body.stream) return
  context.addIssue({ code: 'custom', path: ['prompt_logprobs'], message: 'does not go with "stream": true' })
}

/** What asks for replies in text alone. */
export const textOnly = strictArray(z.literal('text'), { least: 0 })

/** Parameters that need others, or exclude them: a mistake that would otherwise go unnoticed. */
export function refineShared(body: SharedParameters, context: z.RefinementCtx): void {
  const refuse = (param: keyof SharedParameters, message: string) =>
    context.addIssue({ code: 'custom', path: [param], message })
  // OpenAI refuses it too.
  if (body.stream_options && !body.stream) refuse('stream_options', 'needs "stream": true')
  const shows = body.stream_options?.include_provisional ?? false
  const problem = policyProblem(body.policy, shows, '"stream_options": {"include_provisional": true}')
  if (problem !== undefined) refuse('policy', problem)
  if (isSet(body.alpha) && body.policy !== 'tolerant') refuse('alpha', 'needs "policy": "tolerant"')
  if (isSet(body.min_stability) && body.policy !== 'confident') {
    refuse('min_stability', 'needs "policy": "confident"; of provisional text it is an option in "stream_options"')
  }
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null
}
