import { randomInt } from 'node:crypto'
import {
  type GenerateRequest,
  IncipitError,
  isLossy,
  type ModelInfo,
  type Policy,
  type PromptPiece,
  type TierName,
} from '@incipit/engine/api'
import type { ChatBody } from './chat-body.ts'
import type { CompletionBody } from './completion-body.ts'
import { type FillsIn, filledIn } from './fill-in.ts'
import type { SharedParameters } from './parameters.ts'
import { enginePolicy } from './policy.ts'

/** A request body turned into what the engine is to do and how the answer is to be told. */
export interface RequestPlan {
  /** One per choice, in the order of the choices' indices: the `n` choices of the first prompt, then of the second ... */
  choices: GenerateRequest[]
  /** Choices per prompt. */
  n: number
  stream: boolean
  /** Usage and timings in a last chunk of the stream. */
  includeUsage: boolean
  /** Somebody asked for a policy under which the text may differ from the full model's. */
  lossy: boolean
}

/** What the server adds to a request. */
export interface PlanDefaults {
  /** Of requests that name none. */
  tier?: TierName | undefined
  /** Of requests that name none and do not say either whether they want provisional text. */
  policy?: Policy | undefined
  /** Of requests that get the policy `tolerant` by default. */
  alpha?: number | undefined
}

// OpenAI's defaults where they differ from the engine's: sampling at temperature 1, and completions of 16 tokens. Stock
// clients are written against them.
const DEFAULT_TEMPERATURE = 1
const DEFAULT_COMPLETION_TOKENS = 16

/** Seeds of requests that name none come from 0 .. 2^31 - 1. */
const SEEDS = 2 ** 31

/** What a `/v1/chat/completions` body asks for. */
export function planChat(body: ChatBody, defaults: PlanDefaults = {}): RequestPlan {
  const maxTokens = body.max_completion_tokens ?? body.max_tokens
  return plan(body, [{ messages: body.messages, ...(maxTokens ? { maxTokens } : {}) }], defaults)
}

/**
 * What a `/v1/completions` body asks for.
 *
 * @throws IncipitError `invalid_request` for a token id that is not of this model, ServerError `unsupported` for a suffix
 *   with a model that does not fill in the middle
 */
export function planCompletion(
  body: CompletionBody,
  model: Pick<ModelInfo, 'vocabulary'> & FillsIn,
  defaults: PlanDefaults = {},
): RequestPlan {
  const maxTokens = body.max_tokens ?? DEFAULT_COMPLETION_TOKENS
  checkTokens(body.prompt, model)
  const prompts = body.prompt.map((prompt) => filledIn(prompt, body.suffix, model))
  // Somebody waits for it between two keystrokes.
  const fillsIn = prompts.some((prompt, i) => prompt !== body.prompt[i])
  return plan(
    body,
    prompts.map((prompt) => ({ prompt, maxTokens })),
    fillsIn ? { ...defaults, tier: defaults.tier ?? 'code' } : defaults,
  )
}

/** @throws IncipitError `invalid_request` for a token id that is not of this model */
export function checkTokens(
  prompts: readonly (string | readonly PromptPiece[])[],
  model: Pick<ModelInfo, 'vocabulary'>,
): void {
  for (const prompt of prompts) {
    const tokens = typeof prompt === 'string' ? [] : prompt
    const stranger = tokens.find((token) => typeof token === 'number' && token >= model.vocabulary)
    if (stranger === undefined) continue
    const message = `prompt: token ${stranger} is outside the vocabulary of ${model.vocabulary}`
    throw new IncipitError('invalid_request', message, { param: 'prompt' })
  }
}

function plan(body: SharedParameters, inputs: readonly GenerateRequest[], defaults: PlanDefaults): RequestPlan {
  const shared = sharedRequest(body, defaults)
  const n = body.n ?? 1
  // Without a seed two equal requests at temperature > 0 should differ; greedy replies do not read it.
  const seed = body.seed ?? randomInt(SEEDS)
  const choices = inputs.flatMap((input) =>
    Array.from({ length: n }, (_, i): GenerateRequest => ({ ...shared, ...input, seed: seed + i })),
  )
  return {
    choices,
    n,
    stream: body.stream ?? false,
    includeUsage: body.stream_options?.include_usage ?? false,
    lossy: isLossy(shared.policy),
  }
}

function sharedRequest(body: SharedParameters, defaults: PlanDefaults): GenerateRequest {
  const request: GenerateRequest = { temperature: body.temperature ?? DEFAULT_TEMPERATURE }
  if (typeof body.top_p === 'number') request.topP = body.top_p
  if (typeof body.top_k === 'number') request.topK = Math.max(0, body.top_k)
  if (typeof body.min_p === 'number') request.minP = body.min_p
  if (body.stop) request.stop = typeof body.stop === 'string' ? [body.stop] : body.stop
  if (body.speculate === false) request.proposers = []
  if (typeof body.cache_prompt === 'boolean') request.cachePrompt = body.cache_prompt
  if (body.cache_salt) request.cacheSalt = body.cache_salt
  if (typeof body.prediction === 'string') request.prediction = body.prediction
  const tier = tierOf(body) ?? defaults.tier
  if (tier) request.tier = tier
  const policy = policyOf(body, defaults)
  if (policy !== 'committed') {
    request.policy = policy
    const bound = policy === 'confident' ? body.min_stability : body.stream_options?.min_stability
    if (typeof bound === 'number') request.minStability = bound
    const alpha = body.alpha ?? defaults.alpha
    if (policy === 'tolerant' && typeof alpha === 'number') request.alpha = alpha
  }
  return request
}

/** OpenAI's `flex` is what waits gladly and costs less, as our `batch`; its other names say nothing that we have. */
function tierOf({ tier, service_tier: service }: SharedParameters): TierName | undefined {
  return tier ?? (service === 'flex' ? 'batch' : undefined)
}

function policyOf({ policy, stream, stream_options: options }: SharedParameters, defaults: PlanDefaults): Policy {
  const wanted = options?.include_provisional ?? undefined
  if (policy || wanted !== undefined) return enginePolicy(policy, wanted ?? false)
  const usual = defaults.policy ?? 'committed'
  // Where nothing can be shown, nothing that was shown has to be kept.
  return stream || usual === 'confident' ? usual : 'committed'
}
