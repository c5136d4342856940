import { setTimeout as sleep } from 'node:timers/promises'
import type { EngineStats } from '@incipit/engine/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type ModelDirectory, withEngine } from '../models/model-directory.ts'
import { servedModelOf } from '../models/served-model.ts'
import type { ServedEngine } from '../served-engine.ts'
import { Counter } from './counter.ts'
import { engineFamilies } from './engine-metrics.ts'
import { exposition, type Family } from './exposition.ts'
import { ReplyMetrics } from './reply-metrics.ts'

/** Milliseconds that a scrape waits for an engine, which may be on its way up again: then nothing is told of it. */
const patience = 1000

/** What the server counts, and what it tells of its engines' own counts; see `docs/server.md`. */
export class Metrics {
  readonly #requests = new Counter({
    name: 'incipit_http_requests_total',
    help: 'Requests that are over, by route and status. 499: the client left before the end. 101: a socket has closed.',
  })
  readonly #replies = new ReplyMetrics()

  /** Counts a request when it is over. */
  count(request: FastifyRequest, { raw }: FastifyReply): void {
    raw.once('close', () => {
      // Paths and names come from clients: a label has only those that the server knows.
      const endpoint = request.routeOptions.url ?? 'none'
      const status = raw.writableFinished ? raw.statusCode : request.ws ? 101 : 499
      const model = servedModelOf(request) ?? ''
      this.#requests.add({ method: request.method, endpoint, status: String(status), model })
    })
  }

  /** The same models, of which every reply is measured. */
  measured(models: ModelDirectory): ModelDirectory {
    return {
      get failure() {
        return models.failure
      },
      list: () => models.list(),
      use: async (name, signal) => {
        const model = await models.use(name, signal)
        return withEngine(model, this.#replies.measured(model.engine, model.name))
      },
      useEmbedder: (name, signal) => models.useEmbedder(name, signal),
      loaded: (name) => models.loaded(name),
      follow: (name, told) => models.follow(name, told),
    }
  }

  /** All of it in Prometheus' text format. */
  async text(models: ModelDirectory): Promise<string> {
    const cards = models.list()
    const told = await Promise.all(
      cards.map(async ({ name }) => {
        const stats = await statsOf(models.loaded(name))
        return stats ? [{ model: name, stats }] : []
      }),
    )
    const loaded: Family = {
      name: 'incipit_model_loaded',
      type: 'gauge',
      help: '1 while the model is loaded.',
      samples: cards.map(({ name, status }) => ({ labels: { model: name }, value: status === 'loaded' ? 1 : 0 })),
    }
    return exposition([this.#requests.family, ...this.#replies.families, loaded, ...engineFamilies(told.flat())])
  }
}

async function statsOf(engine: ServedEngine | undefined): Promise<EngineStats | undefined> {
  const late = new AbortController()
  try {
    return await Promise.race([engine?.stats?.(), sleep(patience, undefined, { signal: late.signal })])
  } catch {
    // It is closed or dead, which `GET /health` says.
    return undefined
  } finally {
    late.abort()
  }
}
