import { z } from 'zod'
import { bytes, count, progress } from '../answers/wire.ts'
import { runningSamplers } from '../samplers.ts'
import { llamaServerErrorSchema } from './error-schema.ts'

const settings = z.strictObject({
  n_predict: z.int(),
  seed: z.int(),
  temperature: z.number(),
  top_k: z.int(),
  top_p: z.number(),
  min_p: z.number(),
  repeat_penalty: z.number(),
  presence_penalty: z.number(),
  frequency_penalty: z.number(),
  repeat_last_n: z.int(),
  stop: z.array(z.string()),
  ignore_eos: z.boolean(),
  stream: z.boolean(),
  n_probs: count,
  grammar: z.string(),
  samplers: z.array(z.enum(runningSamplers(undefined))),
})

const likely = { id: count, token: z.string(), bytes, logprob: z.number() }

const said = {
  index: count,
  content: z.string(),
  tokens: z.array(count),
  completion_probabilities: z
    .array(z.strictObject({ ...likely, top_logprobs: z.array(z.strictObject(likely)) }))
    .optional(),
  id_slot: z.literal(-1),
}

const rate = z.number()

const last = z
  .strictObject({
    ...said,
    stop: z.literal(true),
    model: z.string(),
    tokens_predicted: count,
    tokens_evaluated: count,
    generation_settings: settings,
    prompt: z.string(),
    has_new_line: z.boolean(),
    truncated: z.boolean(),
    stop_type: z.enum(['eos', 'word', 'limit']),
    stopping_word: z.string(),
    tokens_cached: count,
    timings: z.strictObject({
      cache_n: count,
      prompt_n: count,
      prompt_ms: rate,
      prompt_per_token_ms: rate,
      prompt_per_second: rate,
      predicted_n: count,
      predicted_ms: rate,
      predicted_per_token_ms: rate,
      predicted_per_second: rate,
    }),
  })
  .describe('Of these, with `response_fields` those that it names.')

/** The answer of `POST /completion` and `POST /infill`. */
export const completionAnswer = z.union([
  last,
  z.array(last).describe('Of several prompts, or several completions of one.'),
])

const piece = z.strictObject({ ...said, stop: z.literal(false), prompt_progress: progress.optional() })

/** The data of an event of their streams. */
export const completionEvent = z.union([piece, last, llamaServerErrorSchema])

/** The answer of `POST /tokenize`. */
export const tokenizeAnswer = z.strictObject({
  tokens: z.union([
    z.array(count),
    z.array(z.strictObject({ id: count, piece: z.union([z.string(), bytes]) })).describe('With `with_pieces`.'),
  ]),
})

export const detokenizeAnswer = z.strictObject({ content: z.string() })

export const promptAnswer = z.strictObject({ prompt: z.string() })

const slot = {
  id: count,
  id_task: z.literal(-1),
  n_ctx: count,
  speculative: z.boolean(),
  is_processing: z.boolean(),
}

/** The answer of `GET /props`. */
export const propsAnswer = z.strictObject({
  default_generation_settings: z.strictObject({ ...slot, params: settings }),
  total_slots: count,
  model_alias: z.string(),
  model_path: z.string(),
  chat_template: z.string(),
  modalities: z.strictObject({ vision: z.boolean(), audio: z.boolean() }),
  build_info: z.string(),
  is_sleeping: z.boolean(),
})

/** The answer of `GET /slots`. */
export const slotsAnswer = z.array(z.strictObject(slot))
