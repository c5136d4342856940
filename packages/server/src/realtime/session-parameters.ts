import { z } from 'zod'
import { constraintParameters, refineConstraint } from '../constraint.ts'
import { neutral } from '../neutral.ts'
import { sharedParameters, textOnly } from '../parameters.ts'
import { minStability } from '../policy.ts'
import { reasoningBudgetFields } from '../reasoning-budget.ts'
import { flatToolParameters } from '../tools/flat-tool-parameters.ts'

const {
  // What these mean over HTTP has another place or no meaning here.
  max_tokens: _maxTokens,
  n: _n,
  stream: _stream,
  stream_options: _streamOptions,
  speculate: _speculate,
  service_tier: _serviceTier,
  min_stability: _minStability,
  prediction,
  cache_prompt,
  cache_salt,
  model,
  ...sampling
} = sharedParameters

const shared = {
  ...sampling,
  ...constraintParameters,
  ...flatToolParameters,
  max_output_tokens: z.union([z.int().min(1), z.literal('inf')], 'must be a whole number or "inf"').nullish(),
  instructions: z.string().nullish(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish(),
  reasoning_effort: z.string().nullish(),
  // OpenAI's.
  reasoning: z.object({ effort: z.string().nullish() }).nullish(),
  enable_thinking: z.boolean().nullish(),
  ...reasoningBudgetFields,
  reasoning_format: z.enum(['none', 'auto', 'deepseek', 'deepseek-legacy']).nullish(),
  n: neutral([1]),
  output_modalities: neutral([], textOnly),
  modalities: neutral([], textOnly),
  audio: neutral([]),
  prompt: neutral([]),
}

/** The `session` of `session.update`: absent leaves a setting as it is, null sets it to its default. */
export const sessionParameters = z
  .object({
    ...shared,
    // Of OpenAI's sessions the one that is no transcription.
    type: neutral(['realtime']),
    model,
    provisional: z.boolean().nullish(),
    min_stability: minStability.nullish(),
    cache_prompt,
    cache_salt,
    speculate: z.enum(['off', 'prefill', 'reply']).nullish(),
    pause_ms: z.number().min(0).max(10_000).nullish(),
    raw: z.boolean().nullish(),
    truncation: neutral(['disabled']),
  })
  .superRefine(refineConstraint)

/** The `response` of `response.create`: settings for this one response. */
export const responseParameters = z
  .object({
    ...shared,
    prediction,
    // Key-value pairs that come back with the response.
    metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
    conversation: neutral(['auto']),
    input: neutral([]),
  })
  .superRefine(refineConstraint)

export type SessionParameters = z.infer<typeof sessionParameters>
export type ResponseParameters = z.infer<typeof responseParameters>
