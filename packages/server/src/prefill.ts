import type { FastifyReply, FastifyRequest } from 'fastify'
import { whileConnected } from './disconnect.ts'
import { ServerError } from './errors.ts'
import { filledIn } from './fill-in.ts'
import { type Prompt, promptOf } from './prefill-body.ts'
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
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const compute = engine.prefill?.bind(engine)
  if (compute === undefined) throw new ServerError('unsupported', 'this server cannot prefill')
  const prompts = promptsOf(promptOf(request.body), engine.info)
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

function promptsOf(input: Prompt, model: ServedEngine['info']): PromptRequest[] {
  const shared = input.cache_salt ? { cacheSalt: input.cache_salt } : {}
  if ('messages' in input) return [{ messages: input.messages, ...shared }]
  return input.prompt.map((prompt) => ({ prompt: filledIn(prompt, input.suffix, model), ...shared }))
}
