import { IncipitError } from '@incipit/engine/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { collect, start, tell } from './choices.ts'
import { watchClient } from './disconnect.ts'
import { errorAnswer } from './errors.ts'
import type { Format } from './format.ts'
import type { RequestPlan } from './request-plan.ts'
import type { ServedEngine } from './served-engine.ts'
import { definedHeaders, EventStream } from './sse.ts'

/**
 * Runs a plan and answers the request, streaming or not. A client that goes away at any time cancels the work.
 *
 * Until the first byte an error is thrown, for the server's error handler to answer with its status; after it, the stream
 * ends with an error event, which is also handed to `report`.
 */
export async function respond(
  engine: ServedEngine,
  plan: RequestPlan,
  format: Format,
  request: FastifyRequest,
  reply: FastifyReply,
  report: (error: unknown) => void,
): Promise<FastifyReply> {
  const client = watchClient(request)
  try {
    const choices = await start(engine, plan, client.signal)
    if (!plan.stream) return await reply.send(await collect(choices, plan, format))
    reply.hijack()
    const stream = new EventStream(reply.raw, definedHeaders(reply), client.signal)
    try {
      await tell(choices, plan, format, stream)
      stream.done()
    } catch (error) {
      if (client.signal.aborted) return reply
      report(error)
      stream.fail(errorAnswer(error).body)
    }
    return reply
  } catch (error) {
    // Nobody is there to read an answer, and the error is our own abort.
    if (client.signal.aborted) return reply.hijack()
    throw inWordsOf(plan, error)
  } finally {
    client.end()
  }
}

/** What the engine says of a constraint concerns the field that declared it. */
export function inWordsOf({ constraint }: Pick<RequestPlan, 'constraint'>, error: unknown): unknown {
  if (!(error instanceof IncipitError) || error.param !== 'constraint' || constraint === undefined) return error
  const message = error.message.replace(/^constraint/, constraint.param)
  return new IncipitError(error.code, message, { cause: error, param: constraint.param })
}
