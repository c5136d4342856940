import type { WebSocket } from '@fastify/websocket'
import { CLOSE_GRACE, closeCodes, type SocketBounds, UNREAD_BOUND } from './bounds.ts'
import { Outbox } from './outbox.ts'

/** Who speaks a protocol over a client's socket. */
export interface SocketUser {
  /** Whether something is made for the client: then its socket is not idle. */
  isBusy(): boolean
  /** @param data of a text frame; undefined for a binary one */
  receive(data: string | undefined): void
  /** The client sent a ping, which was answered. */
  pinged?(): void
  /** The socket is over, whoever ended it: nothing is received or sent any more. */
  end(): void
}

/** A client's socket from the upgrade to its closing: what is sent, whether the client is still there, and the goodbye. */
export class ClientSocket {
  readonly outbox: Outbox
  readonly #socket: WebSocket
  readonly #bounds: Required<SocketBounds>
  #user: SocketUser | undefined
  #idle: NodeJS.Timeout | undefined
  #ping: NodeJS.Timeout | undefined
  #alive = true
  #over = false

  constructor(socket: WebSocket, bounds: Required<SocketBounds>) {
    this.#socket = socket
    this.#bounds = bounds
    this.outbox = new Outbox(socket, {
      bound: UNREAD_BOUND,
      patience: bounds.drainTimeout,
      onStuck: () => this.close(closeCodes.tryAgainLater, 'the client does not read what it is sent'),
    })
  }

  /** The user hears of everything from now on. Called once, in the turn in which the socket was opened. */
  listen(user: SocketUser): void {
    const socket = this.#socket
    const { idleTimeout, pingInterval } = this.#bounds
    this.#user = user
    this.#idle = setTimeout(() => {
      if (user.isBusy()) this.#idle?.refresh()
      else this.close(closeCodes.normal, 'idle for too long')
    }, idleTimeout)
    this.#ping = setInterval(() => this.#checkAlive(), pingInterval)
    socket.on('pong', () => {
      this.#alive = true
    })
    socket.on('ping', () => user.pinged?.())
    socket.on('message', (data, isBinary) => this.#receive(isBinary ? undefined : String(data)))
    socket.once('close', () => this.#end())
  }

  get over(): boolean {
    return this.#over
  }

  /** Nothing is read for now, but for what is on the way already. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#over) this.#socket.resume()
  }

  /** Ends what runs for the client at once and says goodbye. */
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
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#idle)
    clearInterval(this.#ping)
    this.#user?.end()
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

  #receive(data: string | undefined): void {
    if (this.#over) return
    this.#alive = true
    this.#idle?.refresh()
    this.#user?.receive(data)
  }
}
