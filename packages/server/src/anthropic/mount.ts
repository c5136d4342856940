import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { answer } from '../answer.ts'
import { type DialectOptions, mountDialect, planConversation } from '../dialect.ts'
import { watchClient } from '../disconnect.ts'
import { ServerError } from '../errors.ts'
import type { RequestPlan } from '../request-plan.ts'
import { route } from '../route.ts'
import { validate } from '../validate.ts'
import { countTokens } from './count-tokens.ts'
import { anthropicError } from './errors.ts'
import { messageOf, messageTeller } from './message-teller.ts'
import { chatBodyOf, countBody, formField, messagesBody, promptInChatTerms } from './messages-body.ts'

/** Adds `/v1/messages` and `/v1/messages/count_tokens`; see `docs/anthropic.md`. */
export function mountAnthropic(app: FastifyInstance, options: DialectOptions): void {
  const { engine, model, report } = options

  const messages = async (request: FastifyRequest, reply: FastifyReply) => {
    reply.header('request-id', request.id)
    const body = validate(messagesBody, request.body)
    const plan = await planConversation(options, chatBodyOf(body), formField)
    if (body.max_tokens === 0) return prefill(plan, request, reply)
    const { thinking } = body
    const showsThinking = !(thinking && 'display' in thinking && thinking.display === 'omitted')
    const teller = messageTeller({ model, showsThinking, requestId: request.id, shape: plan.shape })
    return answer(engine, plan, teller, request, reply, (error) => report(request, error))
  }

  /** Computes the prompt for those that begin alike. */
  async function prefill({ choices, stream }: RequestPlan, request: FastifyRequest, reply: FastifyReply) {
    if (engine.prefill === undefined)
      throw new ServerError('unsupported', 'this server cannot prefill', { param: 'max_tokens' })
    if (stream) throw new ServerError('unsupported', 'max_tokens: 0 has nothing to stream', { param: 'stream' })
    const { messages, template, cacheSalt } = choices[0]!
    const client = watchClient(request)
    try {
      const { signal } = client
      const done = await engine.prefill({
        messages: messages!,
        ...(template && { template }),
        ...(cacheSalt !== undefined && { cacheSalt }),
        signal,
      })
      const stop = { stop_reason: 'max_tokens', stop_sequence: null, stop_details: null }
      return await reply.send(messageOf(model, [], { ...done, completionTokens: 0 }, stop))
    } catch (error) {
      if (client.signal.aborted) return reply.hijack()
      throw error
    } finally {
      client.end()
    }
  }

  mountDialect(app, options, anthropicError, (scope) => {
    route(scope, 'POST', '/v1/messages', messages)
    route(scope, 'POST', '/v1/messages/count_tokens', async (request, reply) => {
      reply.header('request-id', request.id)
      const body = validate(countBody, request.body)
      const plan = await planConversation(options, promptInChatTerms(body), formField)
      return { input_tokens: await countTokens(engine, plan.choices[0]!) }
    })
  })
}
