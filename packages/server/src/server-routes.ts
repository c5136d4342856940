import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { errorAnswer } from './errors.ts'
import { expositionType } from './metrics/exposition.ts'
import type { Metrics } from './metrics/metrics.ts'
import type { ModelDirectory } from './models/model-directory.ts'
import { type DescribedRoute, openApiDocument } from './openapi/document.ts'
import { json, nothing } from './openapi/operation.ts'
import { route } from './route.ts'

interface ServerRoutesOptions {
  models: ModelDirectory
  metrics: Metrics
  /** The server wants a key. */
  secured: boolean
}

/** Adds what the server tells of itself. To be called before other routes are added, which it describes. */
export function addServerRoutes(app: FastifyInstance, { models, metrics, secured }: ServerRoutesOptions): void {
  const described: DescribedRoute[] = []
  app.addHook('onRoute', ({ method, url, config }) => {
    const operation = config?.operation
    if (operation && typeof method === 'string' && method !== 'HEAD') described.push({ method, url, operation })
  })

  route(
    app,
    'GET',
    '/health',
    {
      id: 'getHealth',
      summary: 'Whether requests can be sent here.',
      dialect: 'incipit',
      input: nothing,
      uses: 'model',
      answers: json(z.strictObject({ status: z.literal('ok') })),
    },
    async (_request, reply) => {
      if (models.failure === undefined) return { status: 'ok' }
      // Unavailable, whatever the code's own status is: who asks wants to know whether to send requests here.
      return reply.status(503).send(errorAnswer(models.failure).body)
    },
  )

  route(
    app,
    'GET',
    '/metrics',
    {
      id: 'getMetrics',
      summary: 'Counters and times in Prometheus’ text format.',
      dialect: 'incipit',
      input: nothing,
      answers: { 'text/plain': z.string() },
    },
    async (_request, reply) => reply.type(expositionType).send(await metrics.text(models)),
  )

  let document: object | undefined
  route(
    app,
    'GET',
    '/openapi.json',
    {
      id: 'getOpenApi',
      summary: 'This description.',
      dialect: 'incipit',
      input: nothing,
      answers: json(z.looseObject({ openapi: z.string() })),
    },
    async () => {
      document ??= openApiDocument(described, secured)
      return document
    },
  )
}
