import type { FastifyInstance } from 'fastify'
import { engineAnswer } from './answers/engine.ts'
import { modelCard, modelList } from './answers/models.ts'
import { stepsEvent } from './answers/steps.ts'
import { engineCard } from './engine-card.ts'
import { type ModelCard, unknownModel } from './models/model-directory.ts'
import { modelQuery, type WaitOptions, withModel } from './models/with-model.ts'
import { json, nothing } from './openapi/operation.ts'
import { route } from './route.ts'
import { StepStreams, stepsQuery } from './steps.ts'

/**
 * Adds which models there are, and what they are and do.
 *
 * @param started when the server was, in seconds of Unix time
 */
export function addModelRoutes(app: FastifyInstance, waiting: WaitOptions, started: number): void {
  const { models } = waiting
  const card = ({ name, aliases, status }: ModelCard) => ({
    id: name,
    object: 'model',
    created: started,
    owned_by: 'incipit',
    aliases,
    status: { value: status },
  })
  route(
    app,
    'GET',
    '/v1/models',
    {
      id: 'listModels',
      summary: 'The models that are served.',
      dialect: 'openai',
      input: nothing,
      answers: json(modelList),
    },
    async () => ({ object: 'list', data: models.list().map(card) }),
  )
  // A wildcard, because names may contain slashes.
  route(
    app,
    'GET',
    '/v1/models/*',
    {
      id: 'getModel',
      summary: 'One of the models.',
      dialect: 'openai',
      input: nothing,
      uses: 'model',
      answers: json(modelCard),
    },
    async (request) => {
      const { '*': id } = request.params as { '*': string }
      const all = models.list()
      const found = all.find(({ name, aliases }) => name === id || aliases.includes(id))
      if (found) return card(found)
      const names = all.map(({ name }) => name)
      throw unknownModel(id, names)
    },
  )

  route(
    app,
    'GET',
    '/v1/engine',
    {
      id: 'getEngine',
      summary: 'What runs here, what it has done, and what it costs.',
      dialect: 'incipit',
      input: modelQuery,
      uses: 'model',
      answers: json(engineAnswer),
    },
    (request, reply, query) =>
      withModel(waiting, query, request, reply, async ({ name, engine }) => reply.send(await engineCard(engine, name))),
  )
  const steps = new StepStreams()
  route(
    app,
    'GET',
    '/v1/steps',
    {
      id: 'watchSteps',
      summary: 'What the engine does, as it does it.',
      dialect: 'incipit',
      input: stepsQuery,
      uses: 'reply',
      answers: { 'text/event-stream': stepsEvent },
    },
    (request, reply, query) => steps.respond(models, query, request, reply),
  )
}
