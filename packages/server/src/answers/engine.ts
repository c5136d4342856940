import { proposerNames, tierNames } from '@incipit/engine/api'
import { z } from 'zod'
import { count } from './wire.ts'

const drafts = z.strictObject({ drafts: count, drafted: count, accepted: count })

/** The answer of `GET /v1/engine`. */
export const engineAnswer = z.strictObject({
  object: z.literal('engine'),
  model: z.string(),
  description: z.string(),
  architecture: z.string(),
  context_length: count,
  has_chat_template: z.boolean(),
  stages: z.array(z.array(count)),
  cache: z.enum(['unified', 'separate']),
  proposers: z.partialRecord(
    z.enum(proposerNames),
    z.strictObject({ available: z.boolean(), note: z.string().optional() }),
  ),
  tiers: z.array(z.strictObject({ name: z.enum(tierNames), ttft_ms: z.number(), itl_ms: z.number().nullable() })),
  stats: z.strictObject({
    running: count,
    waiting: count,
    cells: count,
    cells_used: count,
    kept_bytes: count,
    preempted: count,
    prompt_tokens: count,
    cached_tokens: count,
    generated_tokens: count,
    drafted: count,
    accepted: count,
    rejected: count,
    proposers: z.partialRecord(z.enum(proposerNames), drafts),
    retracted: count,
    steps: count,
    rows: count,
    decode_ms: z.number(),
    overhead_ms: z.number(),
  }),
  costs: z.array(
    z.array(
      z.strictObject({
        rows: z.number(),
        ms: z.number(),
        pairs: z.number().optional(),
        loose: z.boolean().optional(),
      }),
    ),
  ),
})
