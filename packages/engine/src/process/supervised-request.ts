import { IncipitError } from '../api/errors.ts'
import type { GenerateEvent, ProvisionalEvent } from '../api/events.ts'
import type { Generation } from '../api/generation.ts'
import type { FormerLife } from '../serving/former-life.ts'
import { type ReplySink, ReplyStream } from '../serving/reply-stream.ts'
import { Deaths } from './deaths.ts'
import type { PlainRequest, ToChild } from './messages.ts'

/** What a request needs of the engine that it is for. */
export interface RequestHost {
  /** Whether somebody listens to `send`. */
  readonly ready: boolean
  send(message: ToChild): void
  /** The request is over. */
  forget(id: number): void
}

export interface SupervisedRequestOptions {
  readonly id: number
  /** The whole of it, from which any engine can make the reply. */
  readonly request: PlainRequest
  readonly signal: AbortSignal | undefined
  /** What the first engine is told; by default the whole request. */
  readonly first?: ToChild
  /** Stands between the events and their reader. */
  readonly through?: (sink: ReplySink) => ReplySink
}

/** Events that wait for their reader before the engine is told to hold the reply, and when it may go on. */
const mostUnread = 256
const fewUnread = 64

/**
 * A request as the parent remembers it: with what its reply has said so far. When the engine dies, the next one gets the
 * request together with the committed tokens, and goes on behind them; who reads sees one reply.
 */
export class SupervisedRequest implements Generation {
  readonly accepted: Promise<void>
  readonly #options: SupervisedRequestOptions
  readonly #host: RequestHost
  readonly #stream = new ReplyStream<GenerateEvent>()
  readonly #out: ReplySink
  readonly #began = performance.now()
  readonly #accepting = Promise.withResolvers<void>()
  readonly #tokens: number[] = []
  /** Tokens of the prompt whose log-probabilities came. */
  #scored = 0
  /** Committed text so far, in UTF-16 units, and when the first of it came. */
  #length = 0
  #committedMs: number | null = null
  /** The last provisional event, and what of it is still shown. */
  #last: ProvisionalEvent | undefined
  #shown = ''
  #held = false
  readonly #deaths = new Deaths()
  #cancelled = false
  #over = false
  #moved = false

  constructor(options: SupervisedRequestOptions, host: RequestHost) {
    this.#options = options
    this.#host = host
    this.#out = options.through?.(this.#stream) ?? this.#stream
    this.accepted = this.#accepting.promise
    // Whoever reads hears it, too.
    this.accepted.catch(() => {})
    const { signal, first, id, request } = options
    if (signal?.aborted) queueMicrotask(this.cancel)
    else signal?.addEventListener('abort', this.cancel, { once: true })
    host.send(first ?? { type: 'generate', id, request })
  }

  /** Another engine than the first one makes the reply. */
  get moved(): boolean {
    return this.#moved
  }

  /** The engine ends it with `done`; where there is none, or it dies before, the reply ends with the error `cancelled`. */
  readonly cancel = (): void => {
    if (this.#over) return
    this.#cancelled = true
    if (this.#host.ready) this.#host.send({ type: 'cancel', id: this.#options.id })
    else this.#failCancelled()
  }

  #failCancelled(): void {
    this.fail(new IncipitError('cancelled', 'the request was cancelled'))
  }

  /** The engine has it. */
  accept(): void {
    this.#accepting.resolve()
  }

  /** @param tokens that a delta commits */
  take(event: GenerateEvent, tokens: readonly number[] = []): void {
    if (this.#over) return
    if (event.type === 'delta') this.#committed(event.text, tokens)
    else if (event.type === 'prompt') this.#scored = event.from + event.tokens.length
    else if (event.type === 'provisional') {
      this.#last = event
      this.#shown = event.text
    }
    this.#out.push(event)
    if (event.type === 'done') this.#end()
    else if (!this.#held && this.#stream.unread > mostUnread) this.#hold(true)
  }

  fail(error: Error): void {
    if (this.#over) return
    this.#accepting.reject(error)
    this.#end(error)
  }

  /**
   * What the engine had not committed is withdrawn.
   * @param error ends the request when its engines die too often
   * @returns whether it did
   */
  engineDied(error: IncipitError): boolean {
    if (this.#cancelled) this.#failCancelled()
    if (this.#over) return false
    this.#withdraw()
    const tooOften = this.#deaths.another(performance.now())
    if (tooOften) this.fail(error)
    return tooOften
  }

  #withdraw(): void {
    if (this.#shown === '') return
    const { rev, source } = this.#last!
    const gone = { base: this.#length, text: '', tokens: 0, stability: 0, source, reason: 'restart' } as const
    this.take({ type: 'provisional', rev: rev + 1, ...gone })
  }

  /** Another engine is there. */
  submitAgain(): void {
    const { id, request } = this.#options
    this.#moved = true
    try {
      this.#host.send({ type: 'generate', id, request, life: this.#life })
    } catch (error) {
      // It came while there was no engine to send it to.
      this.fail(error as Error)
      return
    }
    if (this.#held) this.#host.send({ type: 'hold', id, held: true })
  }

  get #life(): FormerLife {
    const elapsedMs = performance.now() - this.#began
    return {
      tokens: this.#tokens,
      scored: this.#scored,
      elapsedMs,
      committedMs: this.#committedMs,
      rev: this.#last?.rev ?? 0,
    }
  }

  #committed(text: string, tokens: readonly number[]): void {
    for (const token of tokens) this.#tokens.push(token)
    this.#length += text.length
    this.#committedMs ??= performance.now() - this.#began
    // As every reader does: what agrees leaves the provisional text, what disagrees drops it.
    this.#shown = this.#shown.startsWith(text) ? this.#shown.slice(text.length) : ''
  }

  #hold(held: boolean): void {
    this.#held = held
    this.#host.send({ type: 'hold', id: this.#options.id, held })
  }

  #end(error?: Error): void {
    this.#over = true
    this.#options.signal?.removeEventListener('abort', this.cancel)
    this.#host.forget(this.#options.id)
    // Nothing waits for an answer any more.
    this.#accepting.resolve()
    this.#out.close(error)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerateEvent> {
    try {
      for await (const event of this.#stream.read()) {
        if (this.#held && !this.#over && this.#stream.unread < fewUnread) this.#hold(false)
        yield event
      }
    } finally {
      this.cancel()
    }
  }
}
