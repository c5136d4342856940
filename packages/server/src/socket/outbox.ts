import type { WebSocket } from '@fastify/websocket'
import { newId } from '../new-id.ts'

export interface OutboxOptions {
  /** Bytes that may wait for the client before its events and its reply are held up. */
  bound: number
  /** Milliseconds that a client may take to come below the bound again. */
  patience: number
  /** The client's patience is used up: it does not read. */
  onStuck: () => void
}

/**
 * The sending side of a socket. The protocol is one JSON object per text frame, each with an `event_id`. Nothing here
 * blocks: who produces much asks `drained` before the next event.
 */
export class Outbox {
  readonly #socket: WebSocket
  readonly #options: OutboxOptions
  #waiting: PromiseWithResolvers<void> | undefined
  #stuck: NodeJS.Timeout | undefined

  constructor(socket: WebSocket, options: OutboxOptions) {
    this.#socket = socket
    this.#options = options
    socket.once('close', () => this.#release())
  }

  /** More waits for the client than it should. False once the socket is closed: then nobody is waited for. */
  get full(): boolean {
    return this.#isOpen && this.#socket.bufferedAmount > this.#options.bound
  }

  /** Sends an event; dropped when the socket is closing. */
  send(type: string, fields: object = {}): void {
    if (!this.#isOpen) return
    const event = { type, event_id: newId('event'), ...fields }
    // The callback comes when the frame has left for the kernel, also when it failed.
    this.#socket.send(JSON.stringify(event), () => {
      if (!this.full) this.#release()
    })
  }

  /** Resolves when the client can take more, or is gone. */
  async drained(): Promise<void> {
    if (!this.full) return
    this.#waiting ??= Promise.withResolvers()
    this.#stuck ??= setTimeout(() => {
      this.#options.onStuck()
      this.#release()
    }, this.#options.patience)
    await this.#waiting.promise
  }

  #release(): void {
    clearTimeout(this.#stuck)
    this.#stuck = undefined
    this.#waiting?.resolve()
    this.#waiting = undefined
  }

  get #isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN
  }
}
