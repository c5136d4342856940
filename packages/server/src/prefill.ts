import type { GenerateRequest } from '@incipit/engine/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { whileConnected } from './disconnect.ts'
import { ServerError } from './errors.ts'
import type { PrefillBody } from './prefill-body.ts'
import { promptOf } from './prompt-of.ts'
import { planChat, planCompletion } from './request-plan.ts'
import type { ServedEngine } from './served-engine.ts'

interface PrefillOptions {
  engine: ServedEngine
  /** The name of the loaded model. */
  model: string
}

/**
 * Answers `POST /v1/prefill`: the prompt is computed and kept for requests that begin the same way. A client that goes
 * away cancels it.
 *
 * @throws as `/v1/chat/completions`, and ServerError `unsupported` where the engine cannot
 */
export async function prefill(
  { engine, model }: PrefillOptions,
  body: PrefillBody,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const compute = engine.prefill?.bind(engine)
  if (compute === undefined) throw new ServerError('unsupported', 'this server cannot prefill')
  const requests = requestsOf(body, engine.info)
  return whileConnected(request, reply, async (signal) => {
    let promptTokens = 0
    let cachedTokens = 0
    // One after the other: prompts of one request often begin the same way.
    for (const request of requests) {
      const done = await compute({ ...promptOf(request), signal })
      signal.throwIfAborted()
      promptTokens += done.promptTokens
      cachedTokens += done.cachedTokens
    }
    return await reply.send({
      object: 'prefill',
      model,
      usage: { prompt_tokens: promptTokens, prompt_tokens_details: { cached_tokens: cachedTokens } },
    })
  })
}

/** The same requests as of the endpoints that the prompts are for. */
function requestsOf(body: PrefillBody, model: ServedEngine['info']): readonly GenerateRequest[] {
  const { messages, prompt, suffix, parse_special, ...shared } = body
  if (messages) return planChat({ ...shared, messages }, {}, model).choices
  return planCompletion({ prompt: prompt ?? [], suffix, parse_special, cache_salt: body.cache_salt }, model).choices
}
