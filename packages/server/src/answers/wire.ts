import { proposerNames } from '@incipit/engine/api'
import { z } from 'zod'
import type { WireProgress, WireTimings, WireUsage } from '../wire.ts'

// What answers of several dialects have in common.

export const count = z.int().min(0)
const moment = z.number().nullable()

export const usage = z.strictObject({
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
  prompt_tokens_details: z.strictObject({ cached_tokens: count }),
  completion_tokens_details: z.strictObject({
    accepted_prediction_tokens: count,
    rejected_prediction_tokens: count,
  }),
}) satisfies z.ZodType<WireUsage>

export const timings = z.strictObject({
  queue_ms: z.number(),
  prompt_ms: moment,
  provisional_ms: moment,
  stable_ms: moment,
  committed_ms: moment,
  predicted_ms: z.number(),
  cache_n: count,
  prompt_n: count,
  predicted_n: count,
  drafted_n: count,
  accepted_n: count,
  rejected_n: count,
  retracted_n: count,
  tolerated_n: count,
  early_n: count,
}) satisfies z.ZodType<WireTimings>

export const provisional = z.strictObject({
  rev: count,
  base: count,
  text: z.string(),
  tokens: count,
  stability: z.number().min(0).max(1),
  source: z.enum([...proposerNames, 'input']),
  reason: z.enum(['mismatch', 'input_changed', 'restart']).optional(),
})

export const progress = z.strictObject({
  total: count,
  cache: count,
  processed: count,
  time_ms: z.number(),
}) satisfies z.ZodType<WireProgress>

/** Absent from every answer that is exactly the full model's. */
export const lossy = z.literal(true).optional()

/** Bytes of a token: it may begin or end inside a character. */
export const bytes = z.array(z.int().min(0).max(255))

const likely = { token: z.string(), logprob: z.number(), bytes }

/** A token as `/v1/chat/completions`, `/v1/responses` and Ollama tell it. */
export const likelyToken = z.strictObject(likely)

/** The same with those that the model held likeliest in its place. */
export const tokenLogprob = z.strictObject({ ...likely, top_logprobs: z.array(likelyToken) })
