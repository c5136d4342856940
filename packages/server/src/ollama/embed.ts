import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { whileConnected } from '../disconnect.ts'
import { dimensionsOf, shortened } from '../embeddings.ts'
import type { ModelDirectory } from '../models/model-directory.ts'
import { noteServedModel } from '../models/served-model.ts'
import { strictArray } from '../strict-array.ts'

const text = z.string().min(1, 'must not be empty')
const model = z.string().nullish()

/** The body of `POST /api/embed`. */
export const embedBody = z.object({
  model,
  input: z
    .union([text, strictArray(text, { most: 2048 })], 'must be a string or an array of strings')
    .transform((value) => (typeof value === 'string' ? [value] : value)),
  dimensions: z.int().min(1).nullish(),
})

/** The body of `POST /api/embeddings`, the former name. */
export const embeddingsBody = z.object({ model, prompt: text })

/**
 * Vectors of texts. A client that goes away ends the work on what is not made yet.
 *
 * @throws IncipitError `invalid_request`, `context_overflow`, `model_not_found`, ServerError `unsupported`
 */
export async function embed(
  models: ModelDirectory,
  { model: name, input, dimensions }: z.infer<typeof embedBody>,
  request: FastifyRequest,
  reply: FastifyReply,
  spell: (told: object, embeddings: readonly (readonly number[])[]) => object,
): Promise<FastifyReply> {
  const begun = performance.now()
  return whileConnected(request, reply, async (signal) => {
    using used = await models.useEmbedder(name || undefined, signal)
    noteServedModel(request, used)
    const { embedder } = used
    const length = dimensionsOf(dimensions, embedder.info)
    const loadedAt = performance.now()
    const made = await embedder.embed(input, { signal })
    const told = {
      model: used.name,
      total_duration: Math.round((performance.now() - begun) * 1e6),
      load_duration: Math.round((loadedAt - begun) * 1e6),
      prompt_eval_count: made.tokens,
    }
    return await reply.send(
      spell(
        told,
        shortened(made, length).map((vector) => [...vector]),
      ),
    )
  })
}
