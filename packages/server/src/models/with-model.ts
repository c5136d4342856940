import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { whileConnected } from '../disconnect.ts'
import { errorAnswer } from '../errors.ts'
import { definedHeaders } from '../response-stream.ts'
import { beginEvents, eventOf } from '../sse.ts'
import type { ModelDirectory, ModelInUse } from './model-directory.ts'
import { noteServedModel } from './served-model.ts'

/** What a body says about the model that shall answer it. */
interface Wanted {
  model?: string | null | undefined
  stream?: boolean | null | undefined
  return_progress?: boolean | null | undefined
}

export interface WaitOptions {
  models: ModelDirectory
  /** A stream that waits for a model says something every so many milliseconds, lest a proxy cuts it. */
  keepAlive: number
  report: (request: FastifyRequest, error: unknown) => void
  /** How a stream that waited is told of an error. Default: as OpenAI's are. */
  errorEvent?: (error: unknown, requestId: string) => string
  /** What a stream that wants to hear of progress is told while it waits, so many milliseconds long. Default: a comment. */
  loadingEvent?: (ms: number) => string
  /** Sends the headers of such a stream. Default: of server-sent events. */
  begin?: typeof beginEvents
}

/** Most milliseconds between two words on progress. */
const progressMs = 1000

/**
 * Answers a request with the model that it names, which is loaded where it is not. Meanwhile a stream sends comment lines, or how
 * long it waits; once it has begun so, an error is its last event and no status any more.
 * @throws what `answer` and `ModelDirectory.use` throw
 */
export function withModel(
  { models, keepAlive, report, errorEvent = openAiErrorEvent, loadingEvent, begin = beginEvents }: WaitOptions,
  { model: name, stream, return_progress: tellsProgress }: Wanted,
  request: FastifyRequest,
  reply: FastifyReply,
  answer: (model: ModelInUse) => Promise<FastifyReply>,
): Promise<FastifyReply> {
  return whileConnected(request, reply, async (signal) => {
    const begun = performance.now()
    const waitingEvent = (tellsProgress && loadingEvent) || (() => ': the model is loading\n\n')
    const pause = tellsProgress ? Math.min(progressMs, keepAlive) : keepAlive
    const tell = () => {
      reply.hijack()
      begin(reply.raw, definedHeaders(reply))
      reply.raw.write(waitingEvent(performance.now() - begun))
    }
    const words = stream ? setInterval(tell, pause) : undefined
    try {
      using model = await models.use(name || undefined, signal)
      clearInterval(words)
      noteServedModel(request, model)
      return await answer(model)
    } catch (error) {
      if (signal.aborted || !reply.raw.headersSent) throw error
      report(request, error)
      reply.raw.end(errorEvent(error, request.id))
      return reply
    } finally {
      clearInterval(words)
    }
  })
}

function openAiErrorEvent(error: unknown): string {
  return eventOf(errorAnswer(error).body)
}

/** The query of a route that tells something of a model. */
export const modelQuery = z.object({ model: z.string().optional() })
