import type { FastifyReply, FastifyRequest } from 'fastify'
import { whileConnected } from '../disconnect.ts'
import { ServerError } from '../errors.ts'
import type { ModelInUse } from '../models/model-directory.ts'
import { promptOf } from '../prompt-of.ts'
import type { RequestPlan } from '../request-plan.ts'
import { messageOf } from './message-teller.ts'

/**
 * Answers a request for no tokens: its prompt is computed for those that begin alike.
 *
 * @throws ServerError `unsupported` where the engine cannot, and for a stream
 */
export async function prefill(
  { engine, name }: ModelInUse,
  { choices, stream }: RequestPlan,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const compute = engine.prefill?.bind(engine)
  if (compute === undefined) {
    throw new ServerError('unsupported', 'max_tokens: this server cannot prefill', { param: 'max_tokens' })
  }
  if (stream) throw new ServerError('unsupported', 'stream: "max_tokens": 0 has nothing to stream', { param: 'stream' })
  return whileConnected(request, reply, async (signal) => {
    const done = await compute({ ...promptOf(choices[0]!), signal })
    const stop = { stop_reason: 'max_tokens', stop_sequence: null, stop_details: null }
    return await reply.send(messageOf(name, [], { ...done, completionTokens: 0 }, stop))
  })
}
