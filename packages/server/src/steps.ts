import { IncipitError, type Watcher, type WatchOptions, type WatchRecord } from '@incipit/engine/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { watchClient } from './disconnect.ts'
import type { ModelDirectory } from './models/model-directory.ts'
import { modelQuery } from './models/with-model.ts'
import { definedHeaders } from './response-stream.ts'
import { needed } from './served-engine.ts'
import { EventStream } from './sse.ts'

/** The query of `GET /v1/steps`. */
export const stepsQuery = modelQuery.extend({
  /** How many likely tokens come with every decision. */
  others: z.coerce.number().int().min(0).max(8).default(0),
  /** Texts are told of requests with this `cache_salt`. */
  cache_salt: z.string().min(1).max(256).optional(),
})

/** Most connections that watch at once. */
const mostWatchers = 8
/** Most records that wait for one that reads slowly; then they are left out, and counted. */
const mostUnread = 4000

/** Streams what the engine does as server-sent events; see `docs/server.md`. */
export class StepStreams {
  #open = 0

  /**
   * Watching is no use of a model: it is not loaded for it, and may be unloaded. Once it is loaded its engine tells.
   *
   * @throws ServerError `unsupported`, IncipitError `invalid_request`, `model_not_found`, and `overloaded` when too many watch
   */
  async respond(
    models: ModelDirectory,
    { model, others, cache_salt: namespace }: z.infer<typeof stepsQuery>,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    if (this.#open >= mostWatchers) {
      throw new IncipitError('overloaded', `${mostWatchers} connections watch already; close one of them`)
    }
    const unread = new UnreadRecords()
    const options = { others, ...(namespace !== undefined && { namespace }) }
    const stop = watchModel(models, model || undefined, (records) => unread.add(records), options)
    this.#open++
    const client = watchClient(request)
    client.signal.addEventListener('abort', () => unread.add([]))
    try {
      reply.hijack()
      const stream = new EventStream(reply.raw, definedHeaders(reply), client.signal)
      await stream.send({ records: [] })
      while (!client.signal.aborted) {
        const records = await unread.take()
        if (records.length > 0) await stream.send({ records: records.map(wireRecord) })
      }
    } catch (error) {
      if (!client.signal.aborted) throw error
    } finally {
      stop()
      client.end()
      this.#open--
    }
    return reply
  }
}

/**
 * Watches the engine of a model, and the next one when it is loaded again.
 *
 * @throws ServerError `unsupported` when the engine that is loaded now cannot be watched
 */
function watchModel(
  models: ModelDirectory,
  name: string | undefined,
  watcher: Watcher,
  options: WatchOptions,
): () => void {
  let engines = 0
  let isOpen = false
  let stop = () => {}
  const unfollow = models.follow(name, (engine) => {
    stop()
    stop = () => {}
    if (!engine) return
    // A later one that cannot be watched is silent: nobody asks any more, and its loading is not to fail.
    const watch = isOpen ? engine.watch?.bind(engine) : needed(engine.watch?.bind(engine), 'be watched')
    if (!watch) return
    if (engines++ > 0) watcher([{ type: 'restart' }])
    stop = watch(watcher, options)
  })
  isOpen = true
  return () => {
    unfollow()
    stop()
  }
}

/** Records that wait for their reader. */
class UnreadRecords {
  #records: WatchRecord[] = []
  #missing = 0
  #wake = Promise.withResolvers<void>()

  add(records: readonly WatchRecord[]): void {
    if (this.#records.length + records.length > mostUnread) this.#missing += records.length
    else this.#records.push(...records)
    this.#wake.resolve()
  }

  /** Waits for the next call of `add`. */
  async take(): Promise<readonly WatchRecord[]> {
    await this.#wake.promise
    this.#wake = Promise.withResolvers()
    const records = this.#records
    if (this.#missing > 0) records.push({ type: 'gap', records: this.#missing })
    this.#records = []
    this.#missing = 0
    return records
  }
}

/** A record in the spelling of the wire. */
function wireRecord(record: WatchRecord): object {
  if (record.type !== 'request') return record
  const { promptTokens, cachedTokens, ...others } = record
  return { ...others, prompt_tokens: promptTokens, cached_tokens: cachedTokens }
}
