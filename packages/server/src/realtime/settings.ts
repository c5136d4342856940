import { type GenerateRequest, type InputOptions, showsGuesses, type TierName } from '@incipit/engine/api'
import { z } from 'zod'
import { noConstraintParameters } from '../constraint.ts'
import { empty, neutral, sharedParameters, textOnly } from '../parameters.ts'
import { enginePolicy, minStability, type NamedPolicy } from '../policy.ts'
import type { PlanDefaults } from '../request-plan.ts'

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
  ...noConstraintParameters,
  frequency_penalty: neutral([0]),
  presence_penalty: neutral([0]),
  repetition_penalty: neutral([1]),
  repeat_penalty: neutral([1]),
  logit_bias: neutral([], empty),
  min_tokens: neutral([0]),
  ignore_eos: neutral([false]),
  max_output_tokens: z.union([z.int().min(1), z.literal('inf')], 'must be a whole number or "inf"').nullish(),
  n: neutral([1]),
  tools: neutral([], empty),
  tool_choice: neutral(['none', 'auto']),
  output_modalities: neutral([], textOnly),
  modalities: neutral([], textOnly),
  audio: neutral([]),
}

/** The `session` of `session.update`: absent leaves a setting as it is, null sets it to its default. */
export const sessionParameters = z.object({
  ...shared,
  model,
  instructions: z.string().nullish(),
  provisional: z.boolean().nullish(),
  min_stability: minStability.nullish(),
  cache_prompt,
  cache_salt,
  speculate: z.enum(['off', 'prefill', 'reply']).nullish(),
  raw: z.boolean().nullish(),
})

/** The `response` of `response.create`: settings for this one response. */
export const responseParameters = z.object({ ...shared, prediction, instructions: neutral([]) })

/** The settings of a session as the wire spells them. `null`: no bound, or chosen by the server. */
export interface Settings {
  /** Becomes the system message in front of the conversation. */
  instructions: string | null
  temperature: number
  top_p: number
  top_k: number
  min_p: number
  seed: number | null
  stop: readonly string[]
  max_output_tokens: number | null
  /** Show text that may still be taken back. */
  provisional: boolean
  min_stability: number
  speculate: 'off' | 'prefill' | 'reply'
  tier: TierName
  /** `tolerant` and `confident` are lossy. */
  policy: NamedPolicy
  /** Of the policy `tolerant`. */
  alpha: number
  /** Use rows that others computed, and leave one's own. */
  cache_prompt: boolean
  /** Divides the namespace of the key further. */
  cache_salt: string | null
  /** The text itself is the prompt, without a chat template. */
  raw: boolean
}

/** As over HTTP: OpenAI's temperature, everything else switched off. */
export const defaultSettings: Settings = {
  instructions: null,
  temperature: 1,
  top_p: 1,
  top_k: 0,
  min_p: 0,
  seed: null,
  stop: [],
  max_output_tokens: null,
  provisional: false,
  min_stability: 0.9,
  speculate: 'prefill',
  tier: 'chat',
  policy: 'committed',
  alpha: 0.5,
  cache_prompt: true,
  cache_salt: null,
  raw: false,
}

/** The settings of a session that says nothing, on a server with these defaults. */
export function defaultsOf({ tier, policy = 'committed', alpha }: PlanDefaults): Settings {
  return {
    ...defaultSettings,
    ...(tier === undefined ? {} : { tier }),
    ...(alpha === undefined ? {} : { alpha }),
    provisional: showsGuesses(policy),
    policy: policy === 'provisional' ? 'committed' : policy,
  }
}

type Update = z.infer<typeof sessionParameters>

/** Settings after a `session.update`; `defaults` are what null stands for. */
export function updated(settings: Settings, update: Update, defaults: Settings): Settings {
  const pick = <K extends keyof Settings>(name: K, value: Settings[K] | null | undefined): Settings[K] =>
    value === undefined ? settings[name] : (value ?? defaults[name])
  return {
    instructions: pick('instructions', update.instructions),
    ...sampled(pick, update),
    provisional: pick('provisional', update.provisional),
    min_stability: pick('min_stability', update.min_stability),
    speculate: pick('speculate', update.speculate),
    cache_prompt: pick('cache_prompt', update.cache_prompt),
    cache_salt: pick('cache_salt', update.cache_salt),
    raw: pick('raw', update.raw),
  }
}

/** Settings for one response: what its `response.create` says, else the session's. */
export function forResponse(settings: Settings, response: z.infer<typeof responseParameters>): Settings {
  const pick = <K extends keyof Settings>(name: K, value: Settings[K] | null | undefined): Settings[K] =>
    value ?? settings[name]
  return { ...settings, ...sampled(pick, response) }
}

type Sampled =
  | 'temperature'
  | 'top_p'
  | 'top_k'
  | 'min_p'
  | 'seed'
  | 'stop'
  | 'max_output_tokens'
  | 'tier'
  | 'policy'
  | 'alpha'

function sampled(
  pick: <K extends keyof Settings>(name: K, value: Settings[K] | null | undefined) => Settings[K],
  update: z.infer<typeof responseParameters> | Update,
): Pick<Settings, Sampled> {
  const { stop, top_k: topK, max_output_tokens: most } = update
  return {
    temperature: pick('temperature', update.temperature),
    top_p: pick('top_p', update.top_p),
    // -1 is how clients of other servers switch it off.
    top_k: pick('top_k', typeof topK === 'number' ? Math.max(0, topK) : topK),
    min_p: pick('min_p', update.min_p),
    seed: pick('seed', update.seed),
    stop: pick('stop', typeof stop === 'string' ? [stop] : stop),
    max_output_tokens: pick('max_output_tokens', most === 'inf' ? null : most),
    tier: pick('tier', update.tier),
    policy: pick('policy', update.policy),
    alpha: pick('alpha', update.alpha),
  }
}

/**
 * What the engine is to do under these settings. Every option is spelled out, because one that is left out keeps its
 * former value in an open session.
 *
 * @param seed where the settings name none
 */
export function requestOptions(settings: Settings, seed: number) {
  return {
    temperature: settings.temperature,
    topP: settings.top_p,
    topK: settings.top_k,
    minP: settings.min_p,
    seed: settings.seed ?? seed,
    stop: settings.stop,
    // The engine's own bound is the context.
    maxTokens: settings.max_output_tokens ?? Number.MAX_SAFE_INTEGER,
    policy: enginePolicy(settings.policy, settings.provisional),
    minStability: settings.min_stability,
    alpha: settings.alpha,
    tier: settings.tier,
    cachePrompt: settings.cache_prompt,
  } satisfies GenerateRequest
}

/** {@link requestOptions} and what concerns the open input. */
export function inputOptions(settings: Settings, seed: number) {
  return {
    ...requestOptions(settings, seed),
    speculate: settings.speculate,
    raw: settings.raw,
  } satisfies InputOptions
}
