import type { ServerResponse } from 'node:http'
import { type GenerateEvent, IncipitError } from '@incipit/engine/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { start } from './choices.ts'
import { whileConnected } from './disconnect.ts'
import type { RequestPlan } from './request-plan.ts'
import { definedHeaders, type ResponseHeaders, type ResponseStream } from './response-stream.ts'
import type { ServedEngine } from './served-engine.ts'

/** How a dialect tells the replies to a request. */
export interface Teller<Stream extends ResponseStream> {
  /** The body of an answer that does not stream. */
  whole(choices: readonly AsyncIterable<GenerateEvent>[]): Promise<object>
  /** Begins a stream. */
  open(response: ServerResponse, headers: ResponseHeaders, signal: AbortSignal): Stream
  /** Tells the replies as they come, and ends the stream. */
  tell(choices: readonly AsyncIterable<GenerateEvent>[], stream: Stream): Promise<void>
  /** Ends a stream in which something failed. */
  fail(stream: Stream, error: unknown): void
}

/**
 * Runs a plan and answers the request, streaming or not. A client that goes away at any time cancels the work.
 *
 * Until the first byte an error is thrown, for the error handler to answer with its status; after it, the stream ends with
 * an error, which is also handed to `report`.
 */
export function answer<Stream extends ResponseStream>(
  engine: ServedEngine,
  plan: Pick<RequestPlan, 'choices' | 'stream' | 'constraint'>,
  teller: Teller<Stream>,
  request: FastifyRequest,
  reply: FastifyReply,
  report: (error: unknown) => void,
): Promise<FastifyReply> {
  return whileConnected(request, reply, async (signal) => {
    try {
      const choices = await start(engine, plan, signal)
      if (!plan.stream) return await reply.send(await teller.whole(choices))
      reply.hijack()
      const stream = teller.open(reply.raw, definedHeaders(reply), signal)
      try {
        await teller.tell(choices, stream)
      } catch (error) {
        if (signal.aborted) return reply
        report(error)
        teller.fail(stream, error)
      }
      return reply
    } catch (error) {
      throw inWordsOf(plan, error)
    }
  })
}

/** What the engine says of a constraint concerns the field that declared it. */
export function inWordsOf({ constraint }: Pick<RequestPlan, 'constraint'>, error: unknown): unknown {
  if (!(error instanceof IncipitError) || error.param !== 'constraint' || constraint === undefined) return error
  const message = error.message.replace(/^constraint/, constraint.param)
  return new IncipitError(error.code, message, { cause: error, param: constraint.param })
}
