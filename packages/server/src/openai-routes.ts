import type { FastifyInstance } from 'fastify'
import { chatCompletion, chatEvent } from './answers/chat.ts'
import { completion, completionEvent } from './answers/completion.ts'
import { embeddingsAnswer } from './answers/embeddings.ts'
import { prefillAnswer } from './answers/prefill.ts'
import { chatBody } from './chat-body.ts'
import { templateOptions } from './chat-form.ts'
import { completionBody } from './completion-body.ts'
import { checkConstraint } from './constraint.ts'
import type { DialectOptions } from './dialect.ts'
import { embeddings, embeddingsBody } from './embeddings.ts'
import { chatFormat, completionFormat, type Format, type FormatOptions } from './format.ts'
import { withModel } from './models/with-model.ts'
import { json, jsonOrEvents } from './openapi/operation.ts'
import { prefill } from './prefill.ts'
import { prefillBody } from './prefill-body.ts'
import { reasoningPlace } from './reasoning-place.ts'
import { planChat, planCompletion } from './request-plan.ts'
import { respond } from './respond.ts'
import { route } from './route.ts'
import { eventOf } from './sse.ts'
import { streamedBodies } from './upload-route.ts'
import { loadingProgress } from './wire.ts'

/** What a stream is told while its model is loading, which is called as the request does. */
function loading(formatOf: (options: FormatOptions) => Format, { model }: { model?: string | null | undefined }) {
  const format = formatOf({ model: model ?? '', includeUsage: false, lossy: false })
  return (ms: number) => eventOf(format.progress(0, loadingProgress(ms)))
}

/** Adds `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, and `/v1/prefill`, which warms both. */
export function addOpenAiRoutes(app: FastifyInstance, options: DialectOptions): void {
  const { models, constraints, report } = options

  const bodies = streamedBodies(models)
  route(
    app,
    'POST',
    '/v1/chat/completions',
    {
      id: 'createChatCompletion',
      summary: 'A reply to a conversation.',
      dialect: 'openai',
      input: chatBody,
      uses: 'reply',
      answers: jsonOrEvents(chatCompletion, chatEvent),
    },
    (request, reply, body) =>
      withModel({ ...options, loadingEvent: loading(chatFormat, body) }, body, request, reply, async (model) => {
        const { name, engine, defaults } = model
        const plan = planChat(body, defaults, engine.info, await reasoningPlace(engine, templateOptions(body)))
        // Meanwhile the prompt is computed, as an input that is open.
        await checkConstraint(constraints, plan.constraint)
        const format = chatFormat({ model: name, ...plan })
        const from = bodies.engineFor(request, engine)
        return respond(from, plan, format, request, reply, (error) => report(request, error))
      }),
    bodies.hooks,
  )

  route(
    app,
    'POST',
    '/v1/completions',
    {
      id: 'createCompletion',
      summary: 'A reply to a raw prompt.',
      dialect: 'openai',
      input: completionBody,
      uses: 'reply',
      answers: jsonOrEvents(completion, completionEvent),
    },
    (request, reply, body) =>
      withModel({ ...options, loadingEvent: loading(completionFormat, body) }, body, request, reply, async (model) => {
        const { name, engine, defaults } = model
        const plan = planCompletion(body, engine.info, defaults)
        await checkConstraint(constraints, plan.constraint)
        const format = completionFormat({ model: name, ...plan })
        return respond(engine, plan, format, request, reply, (error) => report(request, error))
      }),
  )

  route(
    app,
    'POST',
    '/v1/prefill',
    {
      id: 'prefill',
      summary: 'Computes a prompt ahead.',
      dialect: 'incipit',
      input: prefillBody,
      uses: 'reply',
      answers: json(prefillAnswer),
    },
    (request, reply, body) =>
      withModel(options, { model: body.model }, request, reply, ({ name, engine }) =>
        prefill({ engine, model: name }, body, request, reply),
      ),
  )

  route(
    app,
    'POST',
    '/v1/embeddings',
    {
      id: 'createEmbedding',
      summary: 'Vectors of texts.',
      dialect: 'openai',
      input: embeddingsBody,
      uses: 'reply',
      answers: json(embeddingsAnswer),
    },
    (request, reply, body) => embeddings(models, body, request, reply),
  )
}
