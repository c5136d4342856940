import { IncipitError } from '@incipit/engine/api'
import { errorAnswer, ServerError } from '../errors.ts'
import type { ModelDirectory } from '../models/model-directory.ts'
import type { ClientSocket } from '../socket/client-socket.ts'
import { parseFrame } from '../socket/frame.ts'
import { validate } from '../validate.ts'
import type { StoredResponse } from './response-store.ts'
import type { Responses } from './responses.ts'
import { responsesBody } from './responses-body.ts'

/** Requests of a connection that wait or run. */
const MAX_REQUESTS = 32

interface ConnectionParts {
  readonly responses: Responses
  readonly models: ModelDirectory
  readonly report: (error: unknown) => void
}

/**
 * A client that asks over a socket for responses (`response.create`), and is told them with the events of a stream. Those
 * of one `stream_id` are made one after the other. Its last response can be gone on with though it is not kept.
 */
export class ResponsesConnection {
  readonly #client: ClientSocket
  readonly #responses: Responses
  readonly #models: ModelDirectory
  readonly #report: (error: unknown) => void
  readonly #controller = new AbortController()
  /** The last request of each lane, which the next one waits for. */
  readonly #lanes = new Map<string, Promise<void>>()
  #requests = 0
  #last: StoredResponse | undefined

  constructor(client: ClientSocket, { responses, models, report }: ConnectionParts) {
    this.#client = client
    this.#responses = responses
    this.#models = models
    this.#report = report
    client.listen({
      isBusy: () => this.#requests > 0,
      receive: (data) => this.#receive(data),
      end: () => this.#controller.abort(new DOMException('the client has disconnected', 'AbortError')),
    })
  }

  /** @param data undefined for a binary frame */
  #receive(data: string | undefined): void {
    let lane = ''
    try {
      const { type, ...body } = objectOf(parseFrame(data))
      lane = laneOf(body)
      if (type !== 'response.create') {
        throw new ServerError('unsupported', 'type: must be "response.create"', { param: 'type' })
      }
      if (this.#requests >= MAX_REQUESTS) {
        throw new ServerError('rate_limited', `more than ${MAX_REQUESTS} requests wait on this connection`)
      }
      this.#enqueue(lane, body)
    } catch (error) {
      this.#fail(error, lane)
    }
  }

  #enqueue(lane: string, body: object): void {
    this.#requests++
    const turn = (this.#lanes.get(lane) ?? Promise.resolve())
      .then(() => this.#respond(lane, body))
      .finally(() => {
        this.#requests--
        if (this.#lanes.get(lane) === turn) this.#lanes.delete(lane)
      })
    this.#lanes.set(lane, turn)
  }

  /** Never throws. */
  async #respond(lane: string, body: object): Promise<void> {
    const responses = this.#responses
    const { signal } = this.#controller
    try {
      signal.throwIfAborted()
      // A socket always streams.
      const asked = validate(responsesBody, { ...body, stream: true })
      using model = await this.#models.use(asked.model || undefined, signal)
      const prepared = await responses.prepare(asked, model, this.#last)
      await responses.start(prepared, signal)
      const { run } = prepared
      try {
        for await (const event of run.events()) {
          if (run.response.status !== 'in_progress') this.#last = responses.done(prepared)
          this.#send({ ...event }, lane)
          await this.#client.outbox.drained()
          signal.throwIfAborted()
        }
      } catch (error) {
        if (signal.aborted) return
        this.#report(error)
        this.#send({ ...run.failed(error) }, lane)
      }
    } catch (error) {
      if (!signal.aborted) this.#fail(error, lane)
    }
  }

  #fail(error: unknown, lane: string): void {
    this.#report(error)
    const { status, body } = errorAnswer(error)
    this.#send({ type: 'error', status, error: body.error }, lane)
  }

  #send({ type, ...fields }: { readonly type: string } & Record<string, unknown>, lane: string): void {
    this.#client.outbox.send(type, { ...fields, ...(lane && { stream_id: lane }) })
  }
}

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new IncipitError('invalid_request', 'an event must be a JSON object')
}

/** Longest `stream_id`: it comes back in every event. In UTF-16 units. */
const MAX_LANE = 128

function laneOf({ stream_id: lane }: Record<string, unknown>): string {
  if (lane === undefined || lane === null) return ''
  if (typeof lane === 'string' && lane.length <= MAX_LANE) return lane
  const message = `stream_id: must be a string of at most ${MAX_LANE} characters`
  throw new IncipitError('invalid_request', message, { param: 'stream_id' })
}
