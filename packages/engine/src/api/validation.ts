import { IncipitError } from './errors.ts'
import type { GenerateRequest, Policy, ProposerName, Sampling } from './request.ts'
import { defaultTier, type Tier, type TierName, tiers } from './tiers.ts'

const proposerNames: readonly ProposerName[] = [
  'skim',
  'exit',
  'lookup',
  'opening',
  'prediction',
  'grammar',
  'draft',
  'heads',
  'experts',
  'mtp',
]

export interface CheckedRequest {
  sampling: Sampling
  maxTokens: number
  stop: readonly string[]
  policy: Policy
  tier: Tier
  alpha: number
  minStability: number
  proposers: readonly ProposerName[] | undefined
}

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
  return {
    sampling: {
      temperature: number(request, 'temperature', 0, 0, 100),
      topP: number(request, 'topP', 1, 0, 1),
      topK: number(request, 'topK', 0, 0, Number.MAX_SAFE_INTEGER, true),
      minP: number(request, 'minP', 0, 0, 1),
      seed: number(request, 'seed', 0, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, true),
    },
    maxTokens: number(request, 'maxTokens', Number.MAX_SAFE_INTEGER, 1, Number.MAX_SAFE_INTEGER, true),
    stop: request.stop ?? [],
    policy: oneOf(request.policy ?? 'committed', ['committed', 'provisional', 'tolerant', 'confident'], 'policy'),
    tier: tiers[oneOf(request.tier ?? defaultTier.name, Object.keys(tiers) as TierName[], 'tier')],
    alpha: number(request, 'alpha', 0.5, 0, 1),
    minStability: number(request, 'minStability', 0.9, 0, 1),
    proposers: request.proposers?.map((name) => oneOf(name, proposerNames, 'proposers')),
  }
}

type NumberParameter = 'temperature' | 'topP' | 'topK' | 'minP' | 'seed' | 'maxTokens' | 'minStability' | 'alpha'

function number(
  request: GenerateRequest,
  param: NumberParameter,
  fallback: number,
  least: number,
  most: number,
  whole = false,
): number {
  const value = request[param] ?? fallback
  if (typeof value !== 'number' || !(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
    const kind = whole ? 'a whole number' : 'a number'
    const range =
      most >= Number.MAX_SAFE_INTEGER ? (least > -1 ? ` of at least ${least}` : '') : ` from ${least} to ${most}`
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
