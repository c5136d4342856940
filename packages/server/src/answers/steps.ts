import { proposerNames, tierNames } from '@incipit/engine/api'
import { z } from 'zod'
import { count } from './wire.ts'

const at = z.number().describe('Milliseconds on the clock of the engine’s process.')
const request = count
const probability = z.number()

const step = z.strictObject({
  type: z.literal('step'),
  at,
  ms: z.number(),
  stage: count,
  device: count,
  result: z.enum(['done', 'aborted', 'full', 'failed']),
  rows: z.array(
    z.strictObject({
      request,
      kind: z.enum(['input', 'prompt', 'reply', 'guess', 'lookahead', 'alternative']),
      from: count,
      to: count,
      valid: count,
      text: z.string().optional(),
    }),
  ),
})

const requestState = z.strictObject({
  type: z.literal('request'),
  at,
  request,
  state: z.enum(['began', 'preempted', 'over']),
  tier: z.enum(tierNames),
  prompt_tokens: count,
  cached_tokens: count,
  early: z.boolean(),
  reason: z.enum(['stop', 'length', 'context', 'cancelled', 'failed', 'dropped']).optional(),
})

const guess = z.strictObject({
  type: z.literal('guess'),
  at,
  request,
  source: z.enum(proposerNames),
  stabilities: z.array(z.number()),
  tokens: z.array(z.string()).optional(),
})

const token = z.strictObject({
  type: z.literal('token'),
  at,
  request,
  guessed: z.boolean().optional(),
  source: z.enum(proposerNames).optional(),
  stability: z.number().optional(),
  rejected: count.optional(),
  text: z.string().optional(),
  probability: probability.optional(),
  others: z.array(z.strictObject({ text: z.string(), probability })).optional(),
})

const gap = z.strictObject({ type: z.literal('gap'), records: count })

const restart = z.strictObject({ type: z.literal('restart') })

/** The data of an event of `GET /v1/steps`. */
export const stepsEvent = z.strictObject({
  records: z.array(z.discriminatedUnion('type', [step, requestState, guess, token, gap, restart])),
})
