import type { FastifyReply, FastifyRequest } from 'fastify'
import { watchClient } from './disconnect.ts'
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
  if (engine.prefill === undefined) throw new ServerError('unsupported', 'this server cannot prefill')
  const prompts = promptsOf(promptOf(request.body), engine.info)
  checkTokens(
    prompts.map(({ prompt }) => prompt ?? ''),
    engine.info,
  )
  const client = watchClient(request)
  try {
    let promptTokens = 0
    let cachedTokens = 0
    // One after the other: prompts of one request often begin the same way.
    for (const prompt of prompts) {
      const done = await engine.prefill({ ...prompt, signal: client.signal })
      client.signal.throwIfAborted()
      promptTokens += done.promptTokens
      cachedTokens += done.cachedTokens
    }
    return await reply.send({
      object: 'prefill',
      model,
      usage: { prompt_tokens: promptTokens, prompt_tokens_details: { cached_tokens: cachedTokens } },
    })
  } catch (error) {
    // Nobody is there to read an answer, and the error is our own abort.
    if (client.signal.aborted) return reply.hijack()
    throw error
  } finally {
    client.end()
  }
}

type PromptRequest = Omit<Parameters<NonNullable<ServedEngine['prefill']>>[0], 'signal'>

function promptsOf(input: Prompt, model: ServedEngine['info']): PromptRequest[] {
  const shared = input.cache_salt ? { cacheSalt: input.cache_salt } : {}
  if ('messages' in input) return [{ messages: input.messages, ...shared }]
  return input.prompt.map((prompt) => ({ prompt: filledIn(prompt, input.suffix, model), ...shared }))
}
