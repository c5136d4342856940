import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { answer } from '../answer.ts'
import { type DialectOptions, mountDialect, planConversation, planPrompts } from '../dialect.ts'
import { ServerError } from '../errors.ts'
import type { ModelInUse } from '../models/model-directory.ts'
import { withModel } from '../models/with-model.ts'
import type { RequestPlan } from '../request-plan.ts'
import { route } from '../route.ts'
import { loadingProgress } from '../wire.ts'
import { chatTermsOf } from './chat-body.ts'
import { embed } from './embed.ts'
import { ollamaError } from './errors.ts'
import { generateTermsOf } from './generate-body.ts'
import { beginLines, lineOf } from './line-stream.ts'
import { running, show, tags } from './model-cards.ts'
import { operations } from './operations.ts'
import { chatSpelling, generateSpelling, progressLine, replyTeller, type Spelling } from './reply-teller.ts'
import { formField, loadAnswer, type RequestFields, requireModel, streams } from './request-fields.ts'

/** The version of Ollama whose API this is: clients refuse older ones. */
const OLLAMA_VERSION = '0.13.0'

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

  /** While a model loads nothing is said but progress: there is nothing that a parser of lines would pass over. */
  const withReplier = (
    body: RequestFields,
    spelling: Spelling,
    request: FastifyRequest,
    reply: FastifyReply,
    respond: (model: ModelInUse) => Promise<FastifyReply>,
  ) => {
    const { model, return_progress } = body
    const waiting = {
      ...options,
      begin: beginLines,
      errorEvent: (error: unknown) => lineOf(ollamaError(error).body),
      loadingEvent: (ms: number) => lineOf(progressLine(model ?? '', spelling, loadingProgress(ms))),
    }
    return withModel(
      waiting,
      { model, return_progress, stream: streams(body) && return_progress },
      request,
      reply,
      respond,
    )
  }

  mountDialect(app, options, ollamaError, (scope) => {
    route(scope, 'POST', '/api/chat', operations.chat, (request, reply, body) =>
      withReplier(body, chatSpelling, request, reply, async (model) => {
        requireModel(body, model.engine.info)
        if (!body.messages?.length) return reply.send(loaded(model, loadAnswer(body), chatSpelling))
        const plan = await planConversation(model, options, chatTermsOf(body), formField)
        return respond(model, plan, chatSpelling, request, reply)
      }),
    )
    route(scope, 'POST', '/api/generate', operations.generate, (request, reply, body) =>
      withReplier(body, generateSpelling, request, reply, async (model) => {
        requireModel(body, model.engine.info)
        if (!body.prompt && !body.suffix) return reply.send(loaded(model, loadAnswer(body), generateSpelling))
        const terms = generateTermsOf(body, model.engine.info)
        const plan =
          'messages' in terms
            ? await planConversation(model, options, terms, formField)
            : await planPrompts(model, options, terms, formField)
        return respond(model, plan, generateSpelling, request, reply)
      }),
    )
    route(scope, 'POST', '/api/embed', operations.embed, (request, reply, body) =>
      embed(models, body, request, reply, (told, embeddings) => ({ ...told, embeddings })),
    )
    route(scope, 'POST', '/api/embeddings', operations.embeddings, (request, reply, { model, prompt }) =>
      embed(models, { model, input: [prompt] }, request, reply, (_, [embedding]) => ({ embedding })),
    )
    route(scope, 'GET', '/api/tags', operations.tags, () => tags(models))
    route(scope, 'GET', '/api/ps', operations.ps, () => running(models))
    route(scope, 'POST', '/api/show', operations.show, (_request, _reply, { model, name }) =>
      show(models, model || name || undefined),
    )
    route(scope, 'GET', '/api/version', operations.version, async () => ({ version: OLLAMA_VERSION }))
    // Its clients read no other shape of errors.
    scope.all('/api/*', async (request) => {
      throw new ServerError('not_found', `no such route: ${request.method} ${request.url}`)
    })
  })
}
