import { type Constraint, constraintTypes, type StructuralTag } from './constraint.ts'
import { IncipitError } from './errors.ts'
import { biasPairs } from './logit-bias.ts'
import { type Policy, policies } from './policies.ts'
import { type ProposerName, proposerNames } from './proposer-names.ts'
import type { GenerateRequest, Sampling } from './request.ts'
import { defaultTier, type Tier, tierNames, tiers } from './tiers.ts'

/** How tokens already said count against saying them again; see `GenerateRequest`. */
export interface Penalties {
  readonly frequency: number
  readonly presence: number
  readonly repetition: number
  /** All three look at so many of the last tokens of prompt and reply. Default: see `GenerateRequest`. */
  readonly window?: number
}

export interface CheckedRequest {
  sampling: Sampling
  penalties: Penalties
  /** By token id or text. */
  logitBias: ReturnType<typeof biasPairs>
  constraint: Constraint | undefined
  /** Empty: with anything. */
  beginsWith: string
  /** Undefined: any number. */
  reasoningBudget: number | undefined
  minTokens: number
  maxTokens: number
  /** Undefined: nothing is said about probabilities. */
  logprobs: number | undefined
  promptLogprobs: number | undefined
  stop: readonly string[]
  policy: Policy
  tier: Tier
  alpha: number
  /** Undefined: not named. */
  minStability: number | undefined
  proposers: readonly ProposerName[] | undefined
}

const maxLogprobs = 20

/**
 * Checks a request and fills its defaults in.
 * @throws IncipitError `invalid_request`, naming the parameter
 */
export function normalise(request: GenerateRequest): CheckedRequest {
  if ((request.prompt === undefined) === (request.messages === undefined)) {
    throw new IncipitError('invalid_request', 'give exactly one of prompt and messages', { param: 'prompt' })
  }
  if (request.messages?.length === 0) {
    throw new IncipitError('invalid_request', 'messages is empty', { param: 'messages' })
  }
  const policy = oneOf(request.policy ?? 'committed', policies, 'policy')
  const logprobs = logprobsOf(request, 'logprobs', policy)
  const promptLogprobs = logprobsOf(request, 'promptLogprobs', policy)
  return {
    sampling: {
      temperature: number(request, 'temperature', 0, 0, 100),
      topP: number(request, 'topP', 1, 0, 1),
      topK: number(request, 'topK', 0, 0, Number.MAX_SAFE_INTEGER, true),
      minP: number(request, 'minP', 0, 0, 1),
      seed: number(request, 'seed', 0, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, true),
    },
    penalties: {
      frequency: number(request, 'frequencyPenalty', 0, -2, 2),
      presence: number(request, 'presencePenalty', 0, -2, 2),
      repetition: number(request, 'repetitionPenalty', 1, 0.01, 100),
      ...((request.penaltyWindow ?? undefined) !== undefined && {
        window: number(request, 'penaltyWindow', 1, 1, Number.MAX_SAFE_INTEGER, true),
      }),
    },
    logitBias: biasOf(request.logitBias),
    constraint: constraintOf(request.constraint),
    beginsWith: beginningOf(request),
    reasoningBudget: budgetOf(request),
    minTokens: number(request, 'minTokens', 0, 0, Number.MAX_SAFE_INTEGER, true),
    maxTokens: number(request, 'maxTokens', Number.MAX_SAFE_INTEGER, 0, Number.MAX_SAFE_INTEGER, true),
    logprobs,
    promptLogprobs,
    stop: request.stop ?? [],
    policy,
    tier: tiers[oneOf(request.tier ?? defaultTier.name, tierNames, 'tier')],
    alpha: number(request, 'alpha', 0.5, 0, 1),
    minStability: request.minStability === undefined ? undefined : number(request, 'minStability', 0, 0, 1),
    proposers: request.proposers?.map((name) => oneOf(name, proposerNames, 'proposers')),
  }
}

function logprobsOf(
  request: GenerateRequest,
  param: 'logprobs' | 'promptLogprobs',
  policy: Policy,
): number | undefined {
  if (request[param] === undefined) return undefined
  if (policy === 'confident') {
    const message = `${param} are those of the full model, which does not see every token in time under policy confident`
    throw new IncipitError('invalid_request', message, { param })
  }
  return number(request, param, 0, 0, maxLogprobs, true)
}

type NumberParameter = keyof {
  [K in keyof GenerateRequest as number extends GenerateRequest[K] ? K : never]: K
}

function number(
  request: GenerateRequest,
  param: NumberParameter,
  fallback: number,
  min: number,
  max: number,
  whole = false,
): number {
  const value = request[param] ?? fallback
  if (typeof value !== 'number' || !(value >= min && value <= max) || (whole && !Number.isInteger(value))) {
    const kind = whole ? 'a whole number' : 'a number'
    const range = max >= Number.MAX_SAFE_INTEGER ? (min > -1 ? ` of at least ${min}` : '') : ` from ${min} to ${max}`
    throw new IncipitError('invalid_request', `${param} must be ${kind}${range}, not ${value}`, { param })
  }
  return value
}

function oneOf<T extends string>(value: T, known: readonly T[], param: string): T {
  if (!known.includes(value)) {
    throw new IncipitError('invalid_request', `${param}: '${value}' is not one of ${known.join(', ')}`, { param })
  }
  return value
}

function biasOf(bias: GenerateRequest['logitBias'] = []): CheckedRequest['logitBias'] {
  const refuse = (message: string) => {
    throw new IncipitError('invalid_request', `logitBias: ${message}`, { param: 'logitBias' })
  }
  const pairs = biasPairs(bias)
  for (const [token, value] of pairs) {
    const named = typeof token === 'string' ? token !== '' : Number.isInteger(token) && token >= 0
    if (!named) refuse(`${JSON.stringify(token)} is neither a token id nor a text`)
    if (typeof value !== 'number' || !(value >= -100 && value <= 100)) {
      refuse(`of ${JSON.stringify(token)} must be a number from -100 to 100, not ${value}`)
    }
  }
  return pairs
}

function constraintOf(constraint: Constraint | null | undefined): Constraint | undefined {
  if (constraint === undefined || constraint === null) return undefined
  oneOf(constraint.type, constraintTypes, 'constraint.type')
  const text = (value: unknown) => typeof value === 'string'
  const texts = (value: unknown) => Array.isArray(value) && value.every(text)
  const tag = (value: unknown) => text((value as StructuralTag)?.begin) && text((value as StructuralTag)?.end)
  const tags = (value: unknown) => Array.isArray(value) && value.every(tag)
  switch (constraint.type) {
    case 'json_schema':
      break
    case 'regex':
      isOf(text(constraint.pattern), 'constraint.pattern', 'a text')
      break
    case 'grammar':
      isOf(text(constraint.grammar), 'constraint.grammar', 'a text')
      if (constraint.syntax) oneOf(constraint.syntax, ['gbnf', 'lark'], 'constraint.syntax')
      break
    case 'choice':
      isOf(texts(constraint.choices), 'constraint.choices', 'texts')
      break
    case 'structural_tag':
      isOf(texts(constraint.triggers), 'constraint.triggers', 'texts')
      isOf(tags(constraint.tags), 'constraint.tags', 'tags with begin and end')
      break
    case 'channels':
      isOf(tags(constraint.before), 'constraint.before', 'tags with begin and end')
      isOf(tags(constraint.last), 'constraint.last', 'tags with begin and end')
  }
  return constraint
}

function isOf(fits: boolean, param: string, what: string): void {
  if (!fits) throw new IncipitError('invalid_request', `${param}: must be ${what}`, { param })
}

function budgetOf(request: GenerateRequest): number | undefined {
  if (request.reasoningBudget === undefined || request.reasoningBudget === null) return undefined
  return number(request, 'reasoningBudget', 0, 0, Number.MAX_SAFE_INTEGER, true)
}

function beginningOf({ beginsWith = '', constraint, reasoningBudget }: GenerateRequest): string {
  if (typeof beginsWith !== 'string') {
    throw new IncipitError('invalid_request', `beginsWith must be text, not ${beginsWith}`, { param: 'beginsWith' })
  }
  if (beginsWith !== '' && (constraint || typeof reasoningBudget === 'number')) {
    const message = 'give beginsWith, or a constraint or a reasoningBudget, which say themselves how a reply begins'
    throw new IncipitError('invalid_request', message, { param: 'beginsWith' })
  }
  return beginsWith
}
