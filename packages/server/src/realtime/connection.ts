import { errorAnswer, ServerError } from '../errors.ts'
import { closeCodes } from '../socket/bounds.ts'
import type { ClientSocket } from '../socket/client-socket.ts'
import { parseFrame } from '../socket/frame.ts'
import { Bucket } from './bucket.ts'
import { checkEvent, eventIdOf } from './client-events.ts'
import { Conversation, type ConversationOptions } from './conversation.ts'

/** Client events per second in the long run, and at once: a fast typist makes twenty, a paste is one. */
const EVENT_RATE = 200
const EVENT_BURST = 400

/** One client from `session.created` to the closing of its socket. Whatever it sends, only `close` ends it. */
export class Connection {
  readonly #client: ClientSocket
  readonly #bucket = new Bucket(EVENT_RATE, EVENT_BURST)
  readonly #report: (error: unknown) => void
  /** Frames that wait until those before are handled, and the client has read what it was sent. */
  readonly #frames: { data: string | undefined }[] = []
  #working = false
  readonly #conversation: Conversation

  /** @throws IncipitError `closed` */
  constructor(client: ClientSocket, conversation: Omit<ConversationOptions, 'outbox'>) {
    this.#client = client
    this.#report = conversation.report
    this.#conversation = new Conversation({ ...conversation, outbox: client.outbox })
    client.listen({
      isBusy: () => this.#conversation.responding,
      receive: (data) => this.#receive(data),
      // A ping is answered by itself and costs a write, so it counts as an event.
      pinged: () => void this.#allowed(),
      end: () => {
        this.#frames.length = 0
        this.#conversation.close()
      },
    })
  }

  /** @param data undefined for a binary frame */
  #receive(data: string | undefined): void {
    if (!this.#allowed()) return
    this.#frames.push({ data })
    if (this.#working) this.#client.pause()
    else void this.#work()
  }

  /** Handles frames, one after the other. Further ones wait, and soon none is read. */
  async #work(): Promise<void> {
    this.#working = true
    for (;;) {
      // Answers would pile up.
      if (this.#client.outbox.full) {
        this.#client.pause()
        await this.#client.outbox.drained()
      }
      const frame = this.#frames.shift()
      if (frame === undefined) break
      await this.#handle(frame.data)
    }
    this.#working = false
    this.#client.resume()
  }

  /** Counts an event; a client that sends too many is told so and loses its connection. */
  #allowed(): boolean {
    if (this.#bucket.take()) return true
    const reason = `more than ${EVENT_RATE} events per second`
    this.#fail(new ServerError('rate_limited', reason), null)
    this.#client.close(closeCodes.policy, reason)
    return false
  }

  /** Never throws. */
  async #handle(data: string | undefined): Promise<void> {
    let value: unknown
    try {
      value = parseFrame(data)
      await this.#conversation.handle(checkEvent(value))
    } catch (error) {
      this.#report(error)
      this.#fail(error, eventIdOf(value))
    }
  }

  #fail(error: unknown, eventId: string | null): void {
    this.#client.outbox.send('error', { error: { ...errorAnswer(error).body.error, event_id: eventId } })
  }
}
