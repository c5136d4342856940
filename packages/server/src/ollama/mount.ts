import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { answer } from '../answer.ts'
import { type DialectOptions, mountDialect, planConversation, planPrompts } from '../dialect.ts'
import { ServerError } from '../errors.ts'
import type { ModelInUse } from '../models/model-directory.ts'
import { withModel } from '../models/with-model.ts'
import type { RequestPlan } from '../request-plan.ts'
import { route } from '../route.ts'
import { validate } from '../validate.ts'
import { chatBody, chatTermsOf } from './chat-body.ts'
import { embed, embedBody, embeddingsBody } from './embed.ts'
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
  const { models, report } = options

  const respond = (
    { engine, name }: ModelInUse,
    plan: RequestPlan,
    spelling: Spelling,
    request: FastifyRequest,
    reply: FastifyReply,
  ) => {
    const teller = replyTeller(name, plan.shape, spelling)
    return answer(engine, plan, teller, request, reply, (error) => report(request, error))
  }
  const loaded = ({ name }: ModelInUse, fields: object, spelling: Spelling) => ({
    model: name,
    created_at: new Date().toISOString(),
    ...spelling({}),
    ...fields,
  })

  mountDialect(app, options, ollamaError, (scope) => {
    // Nothing is said while a model loads: there is nothing that a parser of lines would pass over.
    route(scope, 'POST', '/api/chat', (request, reply) => {
      const body = validate(chatBody, request.body)
      return withModel(options, { model: body.model }, request, reply, async (model) => {
        requireModel(body, model.engine.info)
        if (!body.messages?.length) return reply.send(loaded(model, loadAnswer(body), chatSpelling))
        const plan = await planConversation(model, options, chatTermsOf(body), formField)
        return respond(model, plan, chatSpelling, request, reply)
      })
    })
    route(scope, 'POST', '/api/generate', (request, reply) => {
      const body = validate(generateBody, request.body)
      return withModel(options, { model: body.model }, request, reply, async (model) => {
        requireModel(body, model.engine.info)
        if (!body.prompt && !body.suffix) return reply.send(loaded(model, loadAnswer(body), generateSpelling))
        const terms = generateTermsOf(body, model.engine.info)
        const plan =
          'messages' in terms
            ? await planConversation(model, options, terms, formField)
            : await planPrompts(model, options, terms, formField)
        return respond(model, plan, generateSpelling, request, reply)
      })
    })
    route(scope, 'POST', '/api/embed', (request, reply) => {
      const body = validate(embedBody, request.body)
      return embed(models, body, request, reply, (told, embeddings) => ({ ...told, embeddings }))
    })
    route(scope, 'POST', '/api/embeddings', (request, reply) => {
      const { model, prompt } = validate(embeddingsBody, request.body)
      return embed(models, { model, input: [prompt] }, request, reply, (_, [embedding]) => ({ embedding }))
    })
    route(scope, 'GET', '/api/tags', () => tags(models))
    route(scope, 'GET', '/api/ps', () => running(models))
    route(scope, 'POST', '/api/show', (request) => {
      const { model, name } = validate(showBody, request.body)
      return show(models, model || name || undefined)
    })
    route(scope, 'GET', '/api/version', async () => ({ version: OLLAMA_VERSION }))
    // Its clients read no other shape of errors.
    scope.all('/api/*', async (request) => {
      throw new ServerError('not_found', `no such route: ${request.method} ${request.url}`)
    })
  })
}
