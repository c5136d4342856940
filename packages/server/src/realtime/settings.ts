import {
  type GenerateRequest,
  type InputOptions,
  type LogitBias,
  showsGuesses,
  type TierName,
} from '@incipit/engine/api'
import { type ConstraintFields, constraintFields, saysConstraint } from '../constraint.ts'
import { penaltiesOf } from '../penalties.ts'
import { enginePolicy, type NamedPolicy } from '../policy.ts'
import type { PlanDefaults } from '../request-plan.ts'
import type { FlatToolFields } from '../tools/flat-tool-parameters.ts'
import type { ResponseParameters, SessionParameters } from './session-parameters.ts'

/**
 * The settings of a session as the wire spells them. `null`: no bound, or chosen by the server. What a reply must look like
 * has several fields, of which at most one is there.
 */
export interface Settings extends ConstraintFields {
  /** Becomes the system message in front of the conversation. */
  instructions: string | null
  temperature: number
  top_p: number
  top_k: number
  min_p: number
  seed: number | null
  frequency_penalty: number
  presence_penalty: number
  repetition_penalty: number
  /** Penalties look at so many of the last tokens. */
  repeat_last_n: number | null
  /** By token id or text. */
  logit_bias: LogitBias | null
  min_tokens: number
  ignore_eos: boolean
  stop: readonly string[]
  max_output_tokens: number | null
  /** Functions that a reply may or must call. */
  tools: NonNullable<FlatToolFields['tools']>
  tool_choice: NonNullable<FlatToolFields['tool_choice']>
  parallel_tool_calls: boolean
  /** Variables of the chat template. */
  chat_template_kwargs: Readonly<Record<string, unknown>> | null
  reasoning_effort: string | null
  enable_thinking: boolean | null
  /** Most tokens of reasoning. */
  thinking_budget_tokens: number | null
  /** `none` leaves reasoning in the text. */
  reasoning_format: NonNullable<SessionParameters['reasoning_format']>
  /** Show text that may still be taken back. */
  provisional: boolean
  min_stability: number
  speculate: 'off' | 'prefill' | 'reply'
  /** Null: longer than the writer's rhythm explains. */
  pause_ms: number | null
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
  frequency_penalty: 0,
  presence_penalty: 0,
  repetition_penalty: 1,
  repeat_last_n: null,
  logit_bias: null,
  min_tokens: 0,
  ignore_eos: false,
  stop: [],
  max_output_tokens: null,
  tools: [],
  tool_choice: 'auto',
  parallel_tool_calls: true,
  chat_template_kwargs: null,
  reasoning_effort: null,
  enable_thinking: null,
  thinking_budget_tokens: null,
  reasoning_format: 'auto',
  provisional: false,
  min_stability: 0.9,
  speculate: 'prefill',
  pause_ms: null,
  tier: 'chat',
  policy: 'committed',
  alpha: 0.5,
  cache_prompt: true,
  cache_salt: null,
  raw: false,
}

/** The settings of a session that says nothing, on a server with these defaults. */
export function defaultsOf(
  { tier, policy = 'committed', alpha }: PlanDefaults,
  { hasChatTemplate }: { readonly hasChatTemplate: boolean },
): Settings {
  return {
    ...defaultSettings,
    ...(tier === undefined ? {} : { tier }),
    ...(alpha === undefined ? {} : { alpha }),
    provisional: showsGuesses(policy),
    policy: policy === 'provisional' ? 'committed' : policy,
    raw: !hasChatTemplate,
  }
}

/** Settings after a `session.update`; `defaults` are what null stands for. */
export function updated(settings: Settings, update: SessionParameters, defaults: Settings): Settings {
  const pick = <K extends keyof Settings>(name: K, value: Settings[K] | null | undefined): Settings[K] =>
    value === undefined ? settings[name] : (value ?? defaults[name])
  return {
    ...shared(pick, update),
    ...formOf(update, settings),
    provisional: pick('provisional', update.provisional),
    min_stability: pick('min_stability', update.min_stability),
    speculate: pick('speculate', update.speculate),
    pause_ms: pick('pause_ms', update.pause_ms),
    cache_prompt: pick('cache_prompt', update.cache_prompt),
    cache_salt: pick('cache_salt', update.cache_salt),
    raw: pick('raw', update.raw),
  }
}

/** Settings for one response: what its `response.create` says, else the session's. */
export function forResponse(settings: Settings, response: ResponseParameters): Settings {
  const pick = <K extends keyof Settings>(name: K, value: Settings[K] | null | undefined): Settings[K] =>
    value ?? settings[name]
  return { ...settings, ...shared(pick, response), ...formOf(response, settings) }
}

/** Whoever says anew what a reply must look like, says all of it. */
function formOf(update: ConstraintFields, former: ConstraintFields): ConstraintFields {
  return constraintFields(saysConstraint(update) ? update : former)
}

type Shared =
  | 'instructions'
  | 'temperature'
  | 'top_p'
  | 'top_k'
  | 'min_p'
  | 'seed'
  | 'frequency_penalty'
  | 'presence_penalty'
  | 'repetition_penalty'
  | 'repeat_last_n'
  | 'logit_bias'
  | 'min_tokens'
  | 'ignore_eos'
  | 'stop'
  | 'max_output_tokens'
  | 'tools'
  | 'tool_choice'
  | 'parallel_tool_calls'
  | 'chat_template_kwargs'
  | 'reasoning_effort'
  | 'enable_thinking'
  | 'thinking_budget_tokens'
  | 'reasoning_format'
  | 'tier'
  | 'policy'
  | 'alpha'

function shared(
  pick: <K extends keyof Settings>(name: K, value: Settings[K] | null | undefined) => Settings[K],
  update: ResponseParameters | SessionParameters,
): Pick<Settings, Shared> {
  const { stop, top_k: topK, max_output_tokens: most, reasoning, repetition_penalty: repetition } = update
  return {
    instructions: pick('instructions', update.instructions),
    temperature: pick('temperature', update.temperature),
    top_p: pick('top_p', update.top_p),
    // -1 is how clients of other servers switch it off.
    top_k: pick('top_k', typeof topK === 'number' ? Math.max(0, topK) : topK),
    min_p: pick('min_p', update.min_p),
    seed: pick('seed', update.seed),
    frequency_penalty: pick('frequency_penalty', update.frequency_penalty),
    presence_penalty: pick('presence_penalty', update.presence_penalty),
    // llama-server's name is the other one.
    repetition_penalty: pick('repetition_penalty', repetition === undefined ? update.repeat_penalty : repetition),
    repeat_last_n: pick('repeat_last_n', update.repeat_last_n),
    logit_bias: pick('logit_bias', update.logit_bias),
    min_tokens: pick('min_tokens', update.min_tokens),
    ignore_eos: pick('ignore_eos', update.ignore_eos),
    stop: pick('stop', typeof stop === 'string' ? [stop] : stop),
    max_output_tokens: pick('max_output_tokens', most === 'inf' ? null : most),
    tools: pick('tools', update.tools),
    tool_choice: pick('tool_choice', update.tool_choice),
    parallel_tool_calls: pick('parallel_tool_calls', update.parallel_tool_calls),
    chat_template_kwargs: pick('chat_template_kwargs', update.chat_template_kwargs),
    reasoning_effort: pick('reasoning_effort', update.reasoning_effort ?? reasoning?.effort ?? update.reasoning_effort),
    enable_thinking: pick('enable_thinking', update.enable_thinking),
    thinking_budget_tokens: pick('thinking_budget_tokens', budgetIn(update)),
    reasoning_format: pick('reasoning_format', update.reasoning_format),
    tier: pick('tier', update.tier),
    policy: pick('policy', update.policy),
    alpha: pick('alpha', update.alpha),
  }
}

const noPenalties = { frequencyPenalty: 0, presencePenalty: 0, repetitionPenalty: 1, penaltyWindow: null }

/** The other servers' names are the same; -1 is no bound. */
function budgetIn(update: ResponseParameters | SessionParameters): number | null | undefined {
  const { thinking_budget_tokens: own, reasoning_budget_tokens: second, thinking_token_budget: third } = update
  const said = [own, second, third].find((value) => value !== undefined)
  return said === -1 ? null : said
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
    ...noPenalties,
    ...penaltiesOf(settings),
    logitBias: settings.logit_bias ?? {},
    minTokens: settings.min_tokens,
    ignoreEnd: settings.ignore_eos,
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
    pauseMs: settings.pause_ms ?? undefined,
    raw: settings.raw,
  } satisfies InputOptions
}
