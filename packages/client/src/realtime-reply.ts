import type { ClientError } from './client-error.ts'
import type { RevisableText } from './revisable-text.ts'
import type { ReplyDone } from './stream.ts'

/** A reply of a session, from the first guess at it on. */
export interface RealtimeReply {
  readonly text: RevisableText
  /** The end of the reply. Rejects with a ClientError when it failed. */
  readonly done: Promise<ReplyDone>
  /** Asks for the end; `done` then has the finish reason `cancelled`. */
  cancel(): void
}

/** A reply as its session drives it. */
export class RunningReply implements RealtimeReply {
  readonly text: RevisableText
  readonly response: Record<string, unknown> | undefined
  id: string | undefined
  error: ClientError | undefined
  readonly cancel: () => void
  /** After a new connection: how much of the committed text the server has said again. */
  #again = Number.POSITIVE_INFINITY
  readonly #ending = Promise.withResolvers<ReplyDone>()

  constructor(
    text: RevisableText,
    id: string | undefined,
    response: Record<string, unknown> | undefined,
    cancel: () => void,
  ) {
    this.text = text
    this.id = id
    this.response = response
    this.cancel = cancel
    // Who does not look at it need not care for it.
    this.#ending.promise.catch(() => {})
  }

  get done(): Promise<ReplyDone> {
    return this.#ending.promise
  }

  /** Another connection makes it again. */
  restart(): void {
    this.id = undefined
    this.text.restart()
    this.#again = 0
  }

  /** False when it is not what was said before. */
  say(delta: string): boolean {
    const { committed } = this.text
    const known = committed.slice(this.#again, this.#again + delta.length)
    if (!delta.startsWith(known)) return false
    this.#again += known.length
    if (known === delta) return true
    this.#again = Number.POSITIVE_INFINITY
    this.text.commit(delta.slice(known.length))
    return true
  }

  end(done: ReplyDone): void {
    this.text.apply(done)
    this.#ending.resolve(done)
  }

  fail(error: ClientError): void {
    this.text.restart()
    this.#ending.reject(error)
  }
}
