import type { FastifyReply, FastifyRequest } from 'fastify'
import { whileConnected } from '../disconnect.ts'
import { errorAnswer } from '../errors.ts'
import { definedHeaders } from '../response-stream.ts'
import { beginEvents } from '../sse.ts'
import type { ModelDirectory, ModelInUse } from './model-directory.ts'

/** What a body says about the model that shall answer it. */
interface Wanted {
  model?: string | null | undefined
  stream?: boolean | null | undefined
}

export interface WaitOptions {
  models: ModelDirectory
  /** A stream that waits for a model says something every so many milliseconds, lest a proxy cuts it. */
  keepAlive: number
  report: (request: FastifyRequest, error: unknown) => void
  /** How a stream that waited is told of an error. Default: as OpenAI's are. */
  errorEvent?: (error: unknown, requestId: string) => string
}

/**
 * Answers a request with the model that it names, which is loaded where it is not. Meanwhile a stream sends comment lines;
 * once it has begun so, an error is its last event and no status any more.
 * @throws what `answer` and `ModelDirectory.use` throw
 */
export function withModel(
  { models, keepAlive, report, errorEvent = openAiErrorEvent }: WaitOptions,
  { model: name, stream }: Wanted,
  request: FastifyRequest,
  reply: FastifyReply,
  answer: (model: ModelInUse) => Promise<FastifyReply>,
): Promise<FastifyReply> {
  return whileConnected(request, reply, async (signal) => {
    const comments = stream ? setInterval(() => comment(reply), keepAlive) : undefined
    try {
      using model = await models.use(name || undefined, signal)
      clearInterval(comments)
      return await answer(model)
    } catch (error) {
      if (signal.aborted || !reply.raw.headersSent) throw error
      report(request, error)
      reply.raw.end(errorEvent(error, request.id))
      return reply
    } finally {
      clearInterval(comments)
    }
  })
}

function openAiErrorEvent(error: unknown): string {
  return `data: ${JSON.stringify(errorAnswer(error).body)}\n\n`
}

function comment(reply: FastifyReply): void {
  reply.hijack()
  beginEvents(reply.raw, definedHeaders(reply))
  reply.raw.write(': the model is loading\n\n')
}

/** The model that a body names, before anything else of it was looked at. */
export function modelNameIn(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null || !('model' in body)) return undefined
  return typeof body.model === 'string' ? body.model : undefined
}
