import { z } from 'zod'
import { constraintParameters, refineConstraint } from '../constraint.ts'
import { neutral } from '../neutral.ts'
import { returnProgress, sharedParameters } from '../parameters.ts'
import { llamaPenaltiesOf, llamaPenaltyFields } from '../penalties.ts'
import type { PromptsBody } from '../request-plan.ts'
import { runningSamplers } from '../samplers.ts'
import { unsupportedParameters } from '../unsupported-parameters.ts'
import { type Prompt, promptField } from './prompt.ts'
import { samplersField, switchedOff } from './samplers.ts'

const bound = z.int().min(-1)

/** What `/completion` and `/infill` share. */
export const completionFields = {
  ...unsupportedParameters,
  ...llamaPenaltyFields,
  // Any name is accepted and the answer names the loaded model.
  model: z.string().nullish(),
  // -1 is no bound; 0 computes the prompt and says nothing.
  n_predict: bound.nullish(),
  max_tokens: bound.nullish(),
  temperature: sharedParameters.temperature,
  top_k: sharedParameters.top_k,
  top_p: sharedParameters.top_p,
  min_p: sharedParameters.min_p,
  seed: z.int().nullish(),
  stop: sharedParameters.stop,
  stream: z.boolean().nullish(),
  return_progress: returnProgress,
  cache_prompt: sharedParameters.cache_prompt,
  ignore_eos: sharedParameters.ignore_eos,
  logit_bias: sharedParameters.logit_bias,
  n_probs: z.int().min(0).max(20).nullish(),
  return_tokens: z.boolean().nullish(),
  response_fields: z.array(z.string()).nullish(),
  samplers: samplersField.nullish(),
  json_schema: constraintParameters.json_schema,
  grammar: constraintParameters.grammar,
  // A reply ends at a line that is indented less, and where it has taken so long and has a line.
  n_indent: z.int().min(0).nullish(),
  t_max_predict_ms: z.number().nullish(),
  // Ours.
  speculate: sharedParameters.speculate,
  tier: sharedParameters.tier,
  cache_salt: sharedParameters.cache_salt,

  // These would change the reply and cannot be honoured.
  post_sampling_probs: neutral([false]),
  grammar_lazy: neutral([false]),
}

const shared = z.object(completionFields).superRefine(refineConstraint)
export type CompletionFields = z.infer<typeof shared>

/** The body of `POST /completion`. */
export const completionBody = shared.safeExtend({
  prompt: promptField,
  n_cmpl: sharedParameters.n,
})

export type CompletionBody = z.infer<typeof completionBody>

// llama-server's defaults, which its clients count on.
const DEFAULT_TEMPERATURE = 0.8
const DEFAULT_TOP_K = 40
const DEFAULT_TOP_P = 0.95
const DEFAULT_MIN_P = 0.05

/** Most tokens of a reply; undefined: no bound. */
function boundOf({ n_predict: most, max_tokens: also }: CompletionFields): number | undefined {
  const bound = most ?? also ?? -1
  return bound < 0 ? undefined : bound
}

/** A request in OpenAI's terms. */
export function termsOf(body: CompletionFields, prompts: readonly Prompt[]): PromptsBody {
  return {
    prompt: prompts,
    ...llamaPenaltiesOf(body),
    max_tokens: boundOf(body) ?? -1,
    temperature: Math.max(0, body.temperature ?? DEFAULT_TEMPERATURE),
    top_k: body.top_k ?? DEFAULT_TOP_K,
    top_p: body.top_p ?? DEFAULT_TOP_P,
    min_p: body.min_p ?? DEFAULT_MIN_P,
    ...switchedOff(runningSamplers(body.samplers)),
    // Negative: any.
    ...(typeof body.seed === 'number' && body.seed >= 0 && { seed: body.seed }),
    stop: body.stop,
    stream: body.stream,
    return_progress: body.return_progress,
    cache_prompt: body.cache_prompt,
    ignore_eos: body.ignore_eos,
    logit_bias: body.logit_bias,
    json_schema: body.json_schema,
    grammar: body.grammar,
    speculate: body.speculate,
    tier: body.tier,
    cache_salt: body.cache_salt,
    // Ids of tokens come with their probabilities.
    ...((body.n_probs || body.return_tokens) && { logprobs: body.n_probs ?? 0 }),
  }
}

/**
 * What the answer says of how the reply was made.
 *
 * @param seed of the first reply; each further one has the next
 */
export function settingsOf(body: CompletionFields, terms: PromptsBody, seed = -1): object {
  return {
    n_predict: boundOf(body) ?? -1,
    seed,
    temperature: terms.temperature,
    top_k: terms.top_k,
    top_p: terms.top_p,
    min_p: terms.min_p,
    repeat_penalty: terms.repeat_penalty ?? 1,
    presence_penalty: terms.presence_penalty ?? 0,
    frequency_penalty: terms.frequency_penalty ?? 0,
    repeat_last_n: terms.repeat_last_n,
    stop: typeof terms.stop === 'string' ? [terms.stop] : (terms.stop ?? []),
    ignore_eos: terms.ignore_eos ?? false,
    stream: terms.stream ?? false,
    n_probs: body.n_probs ?? 0,
    grammar: terms.grammar ?? '',
    samplers: runningSamplers(body.samplers),
  }
}
