import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { answer } from '../answer.ts'
import { countTokens } from '../count-tokens.ts'
import { type DialectOptions, mountDialect, planConversation } from '../dialect.ts'
import { withModel } from '../models/with-model.ts'
import { json, jsonOrEvents } from '../openapi/operation.ts'
import { route } from '../route.ts'
import { eventOf } from '../sse.ts'
import { loadingProgress } from '../wire.ts'
import { message, messageEvent, tokenCount } from './answers.ts'
import { anthropicError } from './errors.ts'
import { messageTeller, progressEvent } from './message-teller.ts'
import {
  type CountBody,
  chatBodyOf,
  countBody,
  formField,
  type MessagesBody,
  messagesBody,
  promptInChatTerms,
} from './messages-body.ts'
import { prefill } from './prefill.ts'

/** Adds `/v1/messages` and `/v1/messages/count_tokens`; see `docs/anthropic.md`. */
export function mountAnthropic(app: FastifyInstance, options: DialectOptions): void {
  const waiting = {
    ...options,
    errorEvent: (error: unknown, requestId: string) => eventOf(anthropicError(error, requestId).body, 'error'),
    loadingEvent: (ms: number) => eventOf(progressEvent(loadingProgress(ms)), 'ping'),
  }

  const messages = (request: FastifyRequest, reply: FastifyReply, body: MessagesBody) => {
    reply.header('request-id', request.id)
    return withModel(waiting, body, request, reply, async (model) => {
      const { engine, name } = model
      const plan = await planConversation(model, options, chatBodyOf(body), formField(body))
      if (body.max_tokens === 0) return prefill(model, plan, request, reply)
      const { thinking } = body
      const showsThinking = !(thinking && 'display' in thinking && thinking.display === 'omitted')
      const teller = messageTeller({ model: name, showsThinking, requestId: request.id, shape: plan.shape })
      return answer(engine, plan, teller, request, reply, (error) => options.report(request, error))
    })
  }

  const count = (request: FastifyRequest, reply: FastifyReply, body: CountBody) => {
    reply.header('request-id', request.id)
    return withModel(waiting, { model: body.model }, request, reply, async (model) => {
      const plan = await planConversation(model, options, promptInChatTerms(body), formField(body))
      return reply.send({ input_tokens: await countTokens(model.engine, plan.choices[0]!) })
    })
  }

  mountDialect(app, options, anthropicError, (scope) => {
    route(
      scope,
      'POST',
      '/v1/messages',
      {
        id: 'createMessage',
        summary: 'A reply to a conversation.',
        dialect: 'anthropic',
        input: messagesBody,
        uses: 'reply',
        answers: jsonOrEvents(message, messageEvent),
      },
      messages,
    )
    route(
      scope,
      'POST',
      '/v1/messages/count_tokens',
      {
        id: 'countTokens',
        summary: 'How many tokens a conversation has.',
        dialect: 'anthropic',
        input: countBody,
        uses: 'model',
        answers: json(tokenCount),
      },
      count,
    )
  })
}
