import type { WebSocket } from '@fastify/websocket'
import { errorAnswer, ServerError } from '../errors.ts'
import { Bucket } from './bucket.ts'
import { checkEvent, eventIdOf, parseFrame } from './client-events.ts'
import { Conversation, type ConversationOptions } from './conversation.ts'
import { Outbox } from './outbox.ts'

/** Bounds of a connection. Times are in milliseconds. */
export interface RealtimeOptions {
  /** Without a client event or a running response for this long, the socket is closed. Default 10 minutes. */
  idleTimeout?: number
  /** How often the client is pinged; one that has not answered by the next ping is cut off. Default 30 s. */
  pingInterval?: number
  /** How long a client may leave more than 1 MiB unread. Default 30 s. */
  drainTimeout?: number
}

export const defaultOptions = {
  idleTimeout: 600_000,
  pingInterval: 30_000,
  drainTimeout: 30_000,
} as const satisfies Required<RealtimeOptions>

/** Client events per second in the long run, and at once: a fast typist makes twenty, a paste is one. */
const EVENT_RATE = 200
const EVENT_BURST = 400

/** Bytes that may wait for a slow reader: minutes of text. */
const UNREAD_BOUND = 1024 * 1024

/** Milliseconds a client has to answer the closing of the socket, or to read up to it. */
const CLOSE_GRACE = 5_000

/** Close codes of RFC 6455, section 7.4.1, and the IANA registry. */
export const closeCodes = { normal: 1000, goingAway: 1001, policy: 1008, internal: 1011, tryAgainLater: 1013 } as const

/** One client from `session.created` to the closing of its socket. Whatever it sends, only `close` ends it. */
export class Connection {
  readonly #socket: WebSocket
  readonly #outbox: Outbox
  readonly #bucket = new Bucket(EVENT_RATE, EVENT_BURST)
  readonly #report: (error: unknown) => void
  readonly #idle: NodeJS.Timeout
  readonly #ping: NodeJS.Timeout
  /** Frames that wait until the client has read what it was sent. */
  readonly #frames: { data: string | undefined }[] = []
  readonly #conversation: Conversation
  #alive = true
  #over = false

  /** @throws IncipitError `closed` */
  constructor(
    socket: WebSocket,
    conversation: Omit<ConversationOptions, 'outbox'>,
    { idleTimeout, pingInterval, drainTimeout }: Required<RealtimeOptions>,
  ) {
    this.#socket = socket
    this.#report = conversation.report
    this.#outbox = new Outbox(socket, {
      bound: UNREAD_BOUND,
      patience: drainTimeout,
      onStuck: () => this.close(closeCodes.tryAgainLater, 'the client does not read what it is sent'),
    })
    this.#conversation = new Conversation({ ...conversation, outbox: this.#outbox })
    this.#idle = setTimeout(() => {
      if (this.#conversation.responding) this.#idle.refresh()
      else this.close(closeCodes.normal, 'idle for too long')
    }, idleTimeout)
    this.#ping = setInterval(() => this.#checkAlive(), pingInterval)
    socket.on('pong', () => {
      this.#alive = true
    })
    // A ping is answered by itself and costs a write, so it counts as an event.
    socket.on('ping', () => void this.#allowed())
    socket.on('message', (data, isBinary) => this.#receive(isBinary ? undefined : String(data)))
    socket.once('close', () => this.#end())
  }

  /** Frees everything at once and says goodbye. */
  close(code: number, reason: string): void {
    if (this.#over) return
    this.#socket.close(code, reason)
    this.#end()
    // To a client that does not even read this, the goodbye never gets through.
    const patience = setTimeout(() => this.#socket.terminate(), CLOSE_GRACE)
    this.#socket.once('close', () => clearTimeout(patience))
    // It may have been held up, and its answer to the closing has to be read.
    this.#socket.resume()
  }

  #end(): void {
    this.#over = true
    this.#frames.length = 0
    clearTimeout(this.#idle)
    clearInterval(this.#ping)
    this.#conversation.close()
  }

  #checkAlive(): void {
    // One that is held up because it does not read may have answered; its pong is not read either.
    if (!this.#alive && !this.#socket.isPaused) {
      this.#socket.terminate()
      return
    }
    this.#alive = false
    this.#socket.ping()
  }

  /** @param data undefined for a binary frame */
  #receive(data: string | undefined): void {
    if (this.#over || !this.#allowed()) return
    this.#alive = true
    this.#idle.refresh()
    if (this.#frames.length > 0 || this.#outbox.full) {
      // Answers would pile up: no further frame is looked at, and soon none is read.
      this.#frames.push({ data })
      if (this.#frames.length === 1) void this.#catchUp()
      return
    }
    this.#handle(data)
  }

  async #catchUp(): Promise<void> {
    this.#socket.pause()
    while (this.#frames.length > 0) {
      await this.#outbox.drained()
      const frame = this.#frames[0]
      if (frame === undefined) break
      this.#handle(frame.data)
      this.#frames.shift()
    }
    if (!this.#over) this.#socket.resume()
  }

  /** Counts an event; a client that sends too many is told so and loses its connection. */
  #allowed(): boolean {
    if (this.#bucket.take()) return true
    const reason = `more than ${EVENT_RATE} events per second`
    this.#fail(new ServerError('rate_limited', reason), null)
    this.close(closeCodes.policy, reason)
    return false
  }

  #handle(data: string | undefined): void {
    let value: unknown
    try {
      if (data === undefined) {
        throw new ServerError('unsupported', 'binary frames are not supported: an event is JSON in a text frame')
      }
      value = parseFrame(data)
      this.#conversation.handle(checkEvent(value))
    } catch (error) {
      this.#report(error)
      this.#fail(error, eventIdOf(value))
    }
  }

  #fail(error: unknown, eventId: string | null): void {
    this.#outbox.send('error', { error: { ...errorAnswer(error).body.error, event_id: eventId } })
  }
}
