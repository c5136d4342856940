import type { ClientError } from './client-error.ts'
import { RevisableText } from './revisable-text.ts'
import type { ReplyDone } from './stream.ts'

/** A reply of a session, from the first guess at it on. */
export interface RealtimeReply {
  readonly text: RevisableText
  /** What a model that thinks says to itself before; it has no provisional part. */
  readonly reasoning: RevisableText
  /** The end of the reply. Rejects with a ClientError when it failed. */
  readonly done: Promise<ReplyDone>
  /** Asks for the end; `done` then has the finish reason `cancelled`. */
  cancel(): void
}

/** A reply as its session drives it. */
export class RunningReply implements RealtimeReply {
  readonly response: Record<string, unknown> | undefined
  id: string | undefined
  /** The server has begun to make it. */
  isCreated = false
  error: ClientError | undefined
  readonly cancel: () => void
  readonly #said: Retold
  readonly #thought = new Retold(new RevisableText())
  readonly #ending = Promise.withResolvers<ReplyDone>()

  constructor(
    text: RevisableText,
    id: string | undefined,
    response: Record<string, unknown> | undefined,
    cancel: () => void,
  ) {
    this.#said = new Retold(text)
    this.id = id
    this.response = response
    this.cancel = cancel
    // Who does not look at it need not care for it.
    this.#ending.promise.catch(() => {})
  }

  get text(): RevisableText {
    return this.#said.text
  }

  get reasoning(): RevisableText {
    return this.#thought.text
  }

  get done(): Promise<ReplyDone> {
    return this.#ending.promise
  }

  /** @param id the server's name of it */
  created(id: unknown): void {
    this.isCreated = true
    this.id = typeof id === 'string' ? id : undefined
  }

  /** Another connection makes it again. */
  restart(): void {
    this.id = undefined
    this.isCreated = false
    this.#said.restart()
    this.#thought.restart()
  }

  /** More text. False when it is not what was said before. */
  say(delta: string): boolean {
    return this.#said.say(delta)
  }

  /** More reasoning, likewise. */
  think(delta: string): boolean {
    return this.#thought.say(delta)
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

/** A text whose beginning another connection says again. */
class Retold {
  readonly text: RevisableText
  /** How much of the committed text was said again. */
  #again = Number.POSITIVE_INFINITY

  constructor(text: RevisableText) {
    this.text = text
  }

  restart(): void {
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
}
