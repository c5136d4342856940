import { IncipitError, type ModelInfo } from '@incipit/engine/api'
import { z } from 'zod'
import type { ChatBody } from '../chat-body.ts'
import { ServerError } from '../errors.ts'
import { empty, neutral } from '../neutral.ts'
import { returnProgress, sharedParameters } from '../parameters.ts'
import { modelOptions, samplingOf } from './options.ts'

const schema = z.record(z.string(), z.unknown())

/** Fields that `/api/chat` and `/api/generate` share. */
export const requestFields = {
  // Any name is accepted and the answer names the loaded model.
  model: z.string().nullish(),
  stream: z.boolean().nullish(),
  // `json`, or a JSON schema.
  format: z.union([z.enum(['json', '']), schema], 'must be "json" or a JSON schema').nullish(),
  options: modelOptions.nullish(),
  // How long the model is to stay loaded: the server's owner says so.
  keep_alive: z.union([z.string(), z.number()]).nullish(),
  think: z
    .union([z.boolean(), z.enum(['low', 'medium', 'high'])], 'must be true, false, low, medium or high')
    .nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  images: neutral([], empty),
  // Ours.
  tier: sharedParameters.tier,
  cache_salt: sharedParameters.cache_salt,
  return_progress: returnProgress,
}

export type RequestFields = z.infer<z.ZodObject<typeof requestFields>>

/** What Ollama calls the field that says what the reply must look like. */
export const formField = 'format'

/** Ollama's replies stream unless they are told not to. */
export function streams({ stream }: RequestFields): boolean {
  return stream ?? true
}

/** What both have in OpenAI's terms. */
export function inChatTerms(body: RequestFields) {
  const { format, think } = body
  return {
    ...samplingOf(body.options ?? {}),
    stream: streams(body),
    return_progress: body.return_progress,
    tier: body.tier,
    cache_salt: body.cache_salt,
    ...(format === 'json' && { response_format: { type: 'json_object' as const } }),
    ...(typeof format === 'object' && { json_schema: format }),
    ...(typeof think === 'boolean' && { enable_thinking: think }),
    ...(typeof think === 'string' && { reasoning_effort: think }),
  } satisfies Partial<ChatBody>
}

/**
 * What only the model can tell.
 *
 * @throws ServerError `unsupported` for a model that does not think, IncipitError `invalid_request` for a context that is
 *   larger than there is
 */
export function requireModel(body: RequestFields, { reasoning, contextLength }: ModelInfo): void {
  if (body.think && reasoning === undefined) {
    throw new ServerError('unsupported', 'think: this model does not support thinking', { param: 'think' })
  }
  const wanted = body.options?.num_ctx ?? 0
  if (wanted <= contextLength) return
  const message = `options.num_ctx: this server has a context of ${contextLength} tokens`
  throw new IncipitError('invalid_request', message, { param: 'options.num_ctx' })
}

/** A request without a prompt: Ollama loads the model then, or lets go of it. */
export function loadAnswer({ keep_alive: stays }: RequestFields): { done: true; done_reason: 'load' } {
  if (Number.parseFloat(String(stays ?? 1)) === 0) {
    throw new ServerError('unsupported', 'keep_alive: this server does not unload a model at a request', {
      param: 'keep_alive',
    })
  }
  return { done: true, done_reason: 'load' }
}
