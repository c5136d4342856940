import type { GenerateEvent } from '../api/events.ts'
import type { GenerateRequest } from '../api/request.ts'
import type { ActiveRequest } from '../serving/active-request.ts'
import type { ReplySink } from '../serving/reply-stream.ts'

/** How much of an early reply was typed since it began. */
export interface TypedThrough {
  /** UTF-16 units. */
  readonly characters: number
  readonly tokens: number
}

/** A reply that was begun before the text was final. Its events wait until somebody reads them. */
export class EarlyReply implements ReplySink {
  /** What it answers; it is used for exactly this only. */
  readonly key: string
  /** The open text it continues. */
  readonly text: string
  readonly #on: { readonly text: () => void; readonly failed: () => void }
  readonly #events: { readonly event: GenerateEvent; readonly tokens: readonly number[] | undefined }[] = []
  #said = ''
  #sink: ReplySink | undefined
  #closed: { readonly error: unknown } | undefined
  #request: ActiveRequest | undefined

  /** @param on it has more text, or failed, while nobody reads it */
  constructor(request: GenerateRequest, text: string, on: { text: () => void; failed: () => void }) {
    this.key = keyOf(request)
    this.text = text
    this.#on = on
  }

  /** The request behind it. */
  get request(): ActiveRequest {
    return this.#request!
  }

  /** It is begun. */
  startedAs(request: ActiveRequest): void {
    this.#request = request
  }

  /** All text of it so far. */
  get said(): string {
    return this.#said
  }

  /** It went wrong: whoever asks for the reply gets a new one. */
  get failed(): boolean {
    return this.#closed?.error !== undefined
  }

  /** It ended before its end: at a limit that moves when part of it was typed. */
  get cutShort(): boolean {
    const last = this.#events.at(-1)?.event
    return last?.type === 'done' && last.finishReason !== 'stop'
  }

  /** It says no more before the text is final, which it is begun for. */
  isSpent(budget: number): boolean {
    return this.cutShort || this.request.replyTokens >= budget
  }

  push(event: GenerateEvent, tokens?: readonly number[]): void {
    if (this.#sink) {
      this.#sink.push(event, tokens)
      return
    }
    this.#events.push({ event, tokens })
    if (event.type !== 'delta') return
    this.#said += event.text
    this.#on.text()
  }

  close(error?: unknown): void {
    if (this.#sink) this.#sink.close(error)
    else {
      this.#closed = { error }
      if (error !== undefined) this.#on.failed()
    }
  }

  /** Somebody reads it: from the beginning, without what was typed. */
  releaseTo(sink: ReplySink, typed: TypedThrough): void {
    this.#sink = withoutTyped(typed, sink)
    for (const { event, tokens } of this.#events.splice(0)) this.#sink.push(this.#accounted(event), tokens)
    if (this.#closed) this.#sink.close(this.#closed.error)
  }

  /** An end that came before anybody asked for the reply is accounted for as from then on. */
  #accounted(event: GenerateEvent): GenerateEvent {
    if (event.type !== 'done') return event
    const { reply, cached } = this.request
    return { ...event, timings: { ...reply.timings }, usage: { ...event.usage, cachedTokens: cached } }
  }

  /** Nobody will read it. */
  discard(): void {
    this.#sink = { push() {}, close() {} }
  }
}

/** What two requests must have in common to have the same reply. */
export function keyOf(request: GenerateRequest): string {
  const { signal: _s, tier: _t, prediction: _p, cachePrompt: _c, ...rest } = request
  const entries = Object.entries(rest).filter(([, value]) => value !== undefined)
  return JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Leaves out of a reply what was typed since it began. */
function withoutTyped(typed: TypedThrough, sink: ReplySink): ReplySink {
  let { characters, tokens } = typed
  // Of a delta that was typed as a whole, what goes beyond.
  let beyond: readonly number[] = []
  return {
    push(event, ids = []) {
      if (event.type === 'delta' && (characters > 0 || beyond.length > 0)) {
        const text = event.text.slice(characters)
        characters -= Math.min(characters, event.text.length)
        const fewer = Math.min(tokens, ids.length)
        tokens -= fewer
        const rest = [...beyond, ...ids.slice(fewer)]
        beyond = text === '' ? rest : []
        if (text !== '') sink.push({ ...event, text, tokens: rest.length }, rest)
      } else if (event.type === 'provisional' && typed.characters > 0) {
        const before = Math.max(0, typed.characters - event.base)
        sink.push({ ...event, base: Math.max(0, event.base - typed.characters), text: event.text.slice(before) })
      } else if (event.type === 'done' && typed.tokens > 0) {
        const { usage } = event
        sink.push({
          ...event,
          usage: {
            ...usage,
            promptTokens: usage.promptTokens + typed.tokens,
            cachedTokens: usage.cachedTokens + typed.tokens,
            completionTokens: usage.completionTokens - typed.tokens,
          },
        })
      } else sink.push(event, ids)
    },
    close: (error) => sink.close(error),
  }
}
