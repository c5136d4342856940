import type { Embedded, EmbedderInfo, EmbedInput } from '@incipit/engine/api'
import { IncipitError } from '@incipit/engine/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { whileConnected } from './disconnect.ts'
import type { ModelDirectory } from './models/model-directory.ts'
import { noteServedModel } from './models/served-model.ts'
import { strictArray } from './strict-array.ts'

/** Most inputs of a request, OpenAI's bound. */
const MAX_INPUTS = 2048

const tokens = strictArray(z.int().min(0))
const text = z.string().min(1, 'must not be empty')

/** `input` in its spellings, always as a list: a text, token ids, or an array of either. */
const input = z
  .union(
    [text, tokens, strictArray(z.union([text, tokens], 'must be a string or an array of token ids'))],
    'must be a string, an array of token ids, or an array of such inputs',
  )
  .transform((value): EmbedInput[] => {
    if (typeof value === 'string') return [value]
    return isTokens(value) ? [value] : value
  })
  .refine((inputs) => inputs.length <= MAX_INPUTS, `must have at most ${MAX_INPUTS} elements`)

function isTokens(value: readonly (string | number | number[])[]): value is number[] {
  return typeof value[0] === 'number'
}

/** The body of `POST /v1/embeddings`. */
export const embeddingsBody = z.object({
  model: z.string().nullish(),
  input,
  encoding_format: z.enum(['float', 'base64']).nullish(),
  dimensions: z.int().min(1).nullish(),
})

/**
 * Answers `POST /v1/embeddings`. A client that goes away ends the work on what is not made yet.
 * @throws IncipitError `invalid_request`, `context_overflow`, `model_not_found`, ServerError `unsupported`
 */
export async function embeddings(
  models: ModelDirectory,
  body: z.infer<typeof embeddingsBody>,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  return whileConnected(request, reply, async (signal) => {
    using model = await models.useEmbedder(body.model || undefined, signal)
    noteServedModel(request, model)
    const { info } = model.embedder
    const dimensions = dimensionsOf(body.dimensions, info)
    const made = await model.embedder.embed(body.input, { signal })
    const encode = body.encoding_format === 'base64' ? base64 : floats
    return await reply.send({
      object: 'list',
      data: shortened(made, dimensions).map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: encode(vector),
      })),
      model: model.name,
      usage: { prompt_tokens: made.tokens, total_tokens: made.tokens },
      ...(!info.made && { warning: notMadeForIt }),
    })
  })
}

const notMadeForIt =
  'this model was not made for embeddings: these are means of its last states, and a model for embeddings tells texts apart better'

export function dimensionsOf(wanted: number | null | undefined, { dimensions, name }: EmbedderInfo): number {
  if (typeof wanted !== 'number' || wanted <= dimensions) return wanted ?? dimensions
  const message = `dimensions: a vector of ${name} has ${dimensions}, not ${wanted}`
  throw new IncipitError('invalid_request', message, { param: 'dimensions' })
}

/** The first values of each vector, of length 1 together: what models that were trained so (Matryoshka) mean by it. */
export function shortened({ vectors }: Embedded, dimensions: number): readonly Float32Array<ArrayBuffer>[] {
  return vectors.map((vector) => {
    if (vector.length === dimensions) return vector
    const part = vector.slice(0, dimensions)
    const length = Math.hypot(...part)
    return length === 0 ? part : part.map((value) => value / length)
  })
}

function floats(vector: Float32Array<ArrayBuffer>): number[] {
  return [...vector]
}

function base64({ buffer, byteOffset, byteLength }: Float32Array<ArrayBuffer>): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64')
}
