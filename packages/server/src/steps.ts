import { IncipitError, type WatchRecord } from '@incipit/engine/api'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { watchClient } from './disconnect.ts'
import { ServerError } from './errors.ts'
import { modelQuery } from './models/with-model.ts'
import { definedHeaders } from './response-stream.ts'
import type { ServedEngine } from './served-engine.ts'
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

  /** @throws ServerError `unsupported`, IncipitError `invalid_request`, and `overloaded` when too many watch */
  async respond(
    engine: ServedEngine,
    { others, cache_salt: namespace }: z.infer<typeof stepsQuery>,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    const { watch } = engine
    if (watch === undefined) throw new ServerError('unsupported', 'this engine cannot be watched')
    if (this.#open >= mostWatchers) {
      throw new IncipitError('overloaded', `${mostWatchers} connections watch already; close one of them`)
    }
    this.#open++
    const client = watchClient(request)
    let unread: WatchRecord[] = []
    let missing = 0
    let wake = Promise.withResolvers<void>()
    const stop = watch.call(
      engine,
      (records) => {
        if (unread.length + records.length > mostUnread) missing += records.length
        else unread.push(...records)
        wake.resolve()
      },
      { others, ...(namespace !== undefined && { namespace }) },
    )
    client.signal.addEventListener('abort', () => wake.resolve())
    try {
      reply.hijack()
      const stream = new EventStream(reply.raw, definedHeaders(reply), client.signal)
      await stream.send({ records: [] })
      while (!client.signal.aborted) {
        await wake.promise
        wake = Promise.withResolvers()
        const records = missing > 0 ? [...unread, { type: 'gap' as const, records: missing }] : unread
        unread = []
        missing = 0
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

/** A record in the spelling of the wire. */
function wireRecord(record: WatchRecord): object {
  if (record.type !== 'request') return record
  const { promptTokens, cachedTokens, ...others } = record
  return { ...others, prompt_tokens: promptTokens, cached_tokens: cachedTokens }
}
