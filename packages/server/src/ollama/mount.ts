import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { answer } from '../answer.ts'
import { type DialectOptions, mountDialect, planConversation, planPrompts } from '../dialect.ts'
import { ServerError } from '../errors.ts'
import type { RequestPlan } from '../request-plan.ts'
import { route } from '../route.ts'
import { validate } from '../validate.ts'
import { chatBody, chatTermsOf } from './chat-body.ts'
import { ollamaError } from './errors.ts'
import { generateBody, generateTermsOf } from './generate-body.ts'
import { running, show, tags } from './model-cards.ts'
import { chatSpelling, generateSpelling, replyTeller, type Spelling } from './reply-teller.ts'
import { formField, loadAnswer, requireModel } from './request-fields.ts'

/** The version of Ollama whose API this is: clients refuse older ones. */
const OLLAMA_VERSION = '0.13.0'

const showBody = z.object({ model: z.string().nullish(), name: z.string().nullish() })

/** Adds `/api/...`; see `docs/ollama.md`. */
export function mountOllama(app: FastifyInstance, options: DialectOptions): void {
  const { engine, model, report } = options
  const { info } = engine

  const respond = (plan: RequestPlan, spelling: Spelling, request: FastifyRequest, reply: FastifyReply) => {
    const teller = replyTeller(model, plan.shape, spelling)
    return answer(engine, plan, teller, request, reply, (error) => report(request, error))
  }
  const loaded = (fields: object, spelling: Spelling) => ({
    model,
    created_at: new Date().toISOString(),
    ...spelling({}),
    ...fields,
  })

  mountDialect(app, options, ollamaError, (scope) => {
    route(scope, 'POST', '/api/chat', async (request, reply) => {
      const body = validate(chatBody, request.body)
      requireModel(body, info)
      if (!body.messages?.length) return loaded(loadAnswer(body), chatSpelling)
      const plan = await planConversation(options, chatTermsOf(body), formField)
      return respond(plan, chatSpelling, request, reply)
    })
    route(scope, 'POST', '/api/generate', async (request, reply) => {
      const body = validate(generateBody, request.body)
      requireModel(body, info)
      if (!body.prompt && !body.suffix) return loaded(loadAnswer(body), generateSpelling)
      const terms = generateTermsOf(body, info)
      const plan =
        'messages' in terms
          ? await planConversation(options, terms, formField)
          : await planPrompts(options, terms, formField)
      return respond(plan, generateSpelling, request, reply)
    })
    route(scope, 'GET', '/api/tags', () => tags(model, info))
    route(scope, 'GET', '/api/ps', () => running(model, info))
    route(scope, 'POST', '/api/show', (request) => {
      validate(showBody, request.body)
      return show(model, info)
    })
    route(scope, 'GET', '/api/version', async () => ({ version: OLLAMA_VERSION }))
    for (const url of ['/api/embed', '/api/embeddings']) {
      route(scope, 'POST', url, async () => {
        throw new ServerError('unsupported', 'this server has no embeddings')
      })
    }
    // Its clients read no other shape of errors.
    scope.all('/api/*', async (request) => {
      throw new ServerError('not_found', `no such route: ${request.method} ${request.url}`)
    })
  })
}
