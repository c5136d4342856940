import type { FastifyReply, FastifyRequest } from 'fastify'
import { whileConnected } from './disconnect.ts'
import { ServerError } from './errors.ts'
import { filledIn } from './fill-in.ts'
import type { PrefillBody } from './prefill-body.ts'
import { checkTokens } from './request-plan.ts'
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
  const prompts = promptsOf(body, engine.info)
  checkTokens(
    prompts.map(({ prompt }) => prompt ?? ''),
    engine.info,
  )
  return whileConnected(request, reply, async (signal) => {
    let promptTokens = 0
    let cachedTokens = 0
    // One after the other: prompts of one request often begin the same way.
    for (const prompt of prompts) {
      const done = await compute({ ...prompt, signal })
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

type PromptRequest = Omit<Parameters<NonNullable<ServedEngine['prefill']>>[0], 'signal'>

function promptsOf(
  { messages, prompt, suffix, cache_salt: salt }: PrefillBody,
  model: ServedEngine['info'],
): PromptRequest[] {
  const shared = salt ? { cacheSalt: salt } : {}
  if (messages) return [{ messages, ...shared }]
  return (prompt ?? []).map((prompt) => ({ prompt: filledIn(prompt, suffix, model), ...shared }))
}
