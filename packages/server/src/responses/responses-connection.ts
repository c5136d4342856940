import type { WebSocket } from '@fastify/websocket'
import { IncipitError } from '@incipit/engine/api'
import { errorAnswer, ServerError } from '../errors.ts'
import { parseFrame } from '../realtime/client-events.ts'
import { closeCodes, type RealtimeOptions } from '../realtime/connection.ts'
import { Outbox } from '../realtime/outbox.ts'
import { validate } from '../validate.ts'
import type { StoredResponse } from './response-store.ts'
import type { Responses } from './responses.ts'
import { responsesBody } from './responses-body.ts'

/** Bytes that may wait for a slow reader: minutes of text. */
const UNREAD_BOUND = 1024 * 1024

/** Requests of a connection that wait or run. */
const MAX_REQUESTS = 32

/** Milliseconds a client has to answer the closing of the socket. */
const CLOSE_GRACE = 5_000

export interface ResponsesConnectionOptions extends Required<RealtimeOptions> {
  readonly responses: Responses
  readonly report: (error: unknown) => void
}

/**
 * A socket over which responses are asked for (`response.create`) and told, with the events of a stream. Those of one
 * `stream_id` are made one after the other. Its last response can be gone on with though it is not kept.
 */
export class ResponsesConnection {
  readonly #socket: WebSocket
  readonly #options: ResponsesConnectionOptions
  readonly #outbox: Outbox
  readonly #controller = new AbortController()
  readonly #idle: NodeJS.Timeout
  readonly #ping: NodeJS.Timeout
  /** The last request of each lane, which the next one waits for. */
  readonly #lanes = new Map<string, Promise<void>>()
  #requests = 0
  #last: StoredResponse | undefined
  #alive = true

  constructor(socket: WebSocket, options: ResponsesConnectionOptions) {
    const { idleTimeout, pingInterval, drainTimeout } = options
    this.#socket = socket
    this.#options = options
    this.#outbox = new Outbox(socket, {
      bound: UNREAD_BOUND,
      patience: drainTimeout,
      onStuck: () => this.close(closeCodes.tryAgainLater, 'the client does not read what it is sent'),
    })
    this.#idle = setTimeout(() => {
      if (this.#requests > 0) this.#idle.refresh()
      else this.close(closeCodes.normal, 'idle for too long')
    }, idleTimeout)
    this.#ping = setInterval(() => {
      if (!this.#alive) socket.terminate()
      this.#alive = false
      socket.ping()
    }, pingInterval)
    socket.on('pong', () => {
      this.#alive = true
    })
    socket.on('message', (data, isBinary) => this.#receive(isBinary ? undefined : String(data)))
    socket.once('close', () => this.#end())
  }

  /** Ends what runs at once and says goodbye. */
  close(code: number, reason: string): void {
    this.#socket.close(code, reason)
    this.#end()
    const patience = setTimeout(() => this.#socket.terminate(), CLOSE_GRACE)
    this.#socket.once('close', () => clearTimeout(patience))
  }

  #end(): void {
    clearTimeout(this.#idle)
    clearInterval(this.#ping)
    this.#controller.abort(new DOMException('the client has disconnected', 'AbortError'))
  }

  /** @param data undefined for a binary frame */
  #receive(data: string | undefined): void {
    if (this.#controller.signal.aborted) return
    this.#alive = true
    this.#idle.refresh()
    let lane = ''
    try {
      if (data === undefined) throw new ServerError('unsupported', 'binary frames are not supported')
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
    const { responses } = this.#options
    const { signal } = this.#controller
    try {
      signal.throwIfAborted()
      // A socket always streams.
      using prepared = await responses.prepare(validate(responsesBody, { ...body, stream: true }), {
        last: this.#last,
        signal,
      })
      await responses.start(prepared, signal)
      const { run } = prepared
      try {
        for await (const event of run.events()) {
          if (run.response.status !== 'in_progress') this.#last = responses.done(prepared)
          this.#send({ ...event }, lane)
          await this.#outbox.drained()
          signal.throwIfAborted()
        }
      } catch (error) {
        if (signal.aborted) return
        this.#options.report(error)
        this.#send({ ...run.failed(error) }, lane)
      }
    } catch (error) {
      if (!signal.aborted) this.#fail(error, lane)
    }
  }

  #fail(error: unknown, lane: string): void {
    this.#options.report(error)
    const { status, body } = errorAnswer(error)
    this.#send({ type: 'error', status, error: body.error }, lane)
  }

  #send({ type, ...fields }: { readonly type: string } & Record<string, unknown>, lane: string): void {
    this.#outbox.send(type, { ...fields, ...(lane && { stream_id: lane }) })
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
