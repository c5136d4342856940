import { z } from 'zod'
import { count, likelyToken, progress } from '../answers/wire.ts'
import { ollamaErrorSchema } from './error-schema.ts'

const thinking = z.string().optional()

const chat = {
  message: z.strictObject({
    role: z.literal('assistant'),
    content: z.string(),
    thinking,
    tool_calls: z
      .array(
        z.strictObject({
          id: z.string(),
          function: z.strictObject({ index: count, name: z.string(), arguments: z.record(z.string(), z.unknown()) }),
        }),
      )
      .optional(),
  }),
}

const generate = { response: z.string(), thinking }

const head = { model: z.string(), created_at: z.iso.datetime() }
const logprobs = z.array(likelyToken.extend({ top_logprobs: z.array(likelyToken).optional() })).optional()
const nanoseconds = count.describe('Nanoseconds.')

const statistics = {
  total_duration: nanoseconds,
  load_duration: nanoseconds,
  prompt_eval_count: count,
  prompt_eval_duration: nanoseconds,
  eval_count: count,
  eval_duration: nanoseconds,
}

/** What an endpoint answers, and the objects of its stream. */
function replies<Said extends z.core.$ZodShape>(said: Said) {
  const done = { ...head, ...said, done: z.literal(true) }
  const whole = z.strictObject({ ...done, done_reason: z.enum(['stop', 'length']), logprobs, ...statistics })
  const loaded = z.strictObject({ ...done, done_reason: z.literal('load') })
  const piece = z.strictObject({
    ...head,
    ...said,
    done: z.literal(false),
    logprobs,
    prompt_progress: progress.optional(),
  })
  return { answer: z.union([whole, loaded]), line: z.union([piece, whole, ollamaErrorSchema]) }
}

export const chatReplies = replies(chat)
export const generateReplies = replies(generate)

const embedded = {
  model: z.string(),
  total_duration: nanoseconds,
  load_duration: nanoseconds,
  prompt_eval_count: count,
}
const vector = z.array(z.number())

/** The answer of `POST /api/embed`. */
export const embedAnswer = z.strictObject({ ...embedded, embeddings: z.array(vector) })

/** The answer of `POST /api/embeddings`. */
export const embeddingsAnswer = z.strictObject({ embedding: vector })

const details = z.strictObject({
  parent_model: z.string(),
  format: z.literal('gguf'),
  family: z.string(),
  families: z.array(z.string()),
  parameter_size: z.string(),
  quantization_level: z.string(),
})

const card = { name: z.string(), model: z.string(), size: count, digest: z.string(), details }

/** The answer of `GET /api/tags`. */
export const tagsAnswer = z.strictObject({
  models: z.array(z.strictObject({ ...card, modified_at: z.iso.datetime() })),
})

/** The answer of `GET /api/ps`. */
export const psAnswer = z.strictObject({
  models: z.array(z.strictObject({ ...card, expires_at: z.iso.datetime(), size_vram: count, context_length: count })),
})

/** The answer of `POST /api/show`. */
export const showAnswer = z.strictObject({
  modelfile: z.string(),
  parameters: z.string(),
  template: z.string(),
  license: z.string(),
  system: z.string(),
  details,
  messages: z.array(z.unknown()).max(0),
  model_info: z.record(z.string(), z.union([z.string(), z.number()])),
  capabilities: z.array(z.enum(['completion', 'tools', 'thinking', 'insert'])),
  modified_at: z.iso.datetime(),
})

export const versionAnswer = z.strictObject({ version: z.string() })
