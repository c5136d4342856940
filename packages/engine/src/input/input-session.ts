import { IncipitError } from '../api/errors.ts'
import type { ChatMessage, GenerateEvent, GenerateRequest, ProvisionalEvent } from '../api/request.ts'
import type { Generation } from '../engine.ts'
import type { Flight } from '../serving/active-request.ts'
import { computedRows, type InputPrefill, inputPrefill } from '../serving/input-prefill.ts'
import { PauseDetector } from './pause-detector.ts'

/** How far the engine runs ahead of an input that is still open. */
export type Speculate = 'off' | 'prefill' | 'reply'

export interface InputOptions extends Omit<GenerateRequest, 'prompt' | 'messages' | 'signal'> {
  /** The conversation before the open message. */
  messages?: readonly ChatMessage[]
  /** Raw completion: the open text itself is the prompt. */
  raw?: boolean
  /**
   * `prefill` computes what is there while nothing else is to be done; `reply` also begins to answer when the writer
   * pauses, as if the text were complete. Default `prefill`.
   */
  speculate?: Speculate
  /** Tokens of a reply that is begun ahead. Default 24. */
  replyBudget?: number
  /** How far the prefill has come: tokens of the text so far, and how many are computed. */
  onProgress?: (progress: { rev: number; tokens: number; computed: number }) => void
  /** The reply that was begun ahead, as provisional text: shown while the input is open, taken back when it changes. */
  onPreview?: (event: ProvisionalEvent) => void
}

const defaultReplyBudget = 24

/** What a session needs of its engine. */
export interface InputHost {
  /** Throws where such a session is impossible: a conversation needs a chat template. */
  check(raw: boolean): void
  /** Tokens of the text so far, without what the template puts after it. */
  openTokens(messages: readonly ChatMessage[], text: string, raw: boolean): readonly number[]
  /** Tokens of a raw reply that this longer prompt repeats, or undefined where its tokens are not exactly those. */
  repliedTokens(flight: Flight, prompt: string): number | undefined
  /** Builds a request without starting it. */
  prepare(request: GenerateRequest, text: InputPrefill, emit: (event: GenerateEvent) => void): Flight
  start(flight: Flight): void
  adopt(flight: Flight): void
  cancel(flight: Flight): void
  follow(text: InputPrefill): void
  forget(text: InputPrefill): void
  /** The reading side of a flight whose events arrive in `push`. */
  generation(flight: Flight, signal?: AbortSignal): { push: (event: GenerateEvent) => void; generation: Generation }
}

/** A reply that was begun before the text was final. */
interface Ahead {
  readonly flight: Flight
  /** The request it answers; used only for exactly this one. */
  readonly key: string
  /** The open text it continues. */
  readonly text: string
  /** Its events until somebody reads them. */
  readonly events: GenerateEvent[]
  /** All text of it so far. */
  said: string
  /** What of it is shown: in raw mode without what was typed since. */
  ghost: string
  /** Set when the text became final: events go there. */
  sink: ((event: GenerateEvent) => void) | undefined
}

/**
 * A conversation whose next message is still being written: typed, spoken or retrieved. Prefill runs while it is open;
 * the answer is exactly that of a request sent in one piece, because the final text is tokenised whole and what was
 * computed is used only as far as the tokens agree.
 */
export class InputSession implements Disposable {
  readonly #host: InputHost
  readonly #open: InputPrefill
  readonly #rhythm = new PauseDetector()
  #options: InputOptions
  #messages: ChatMessage[]
  #text = ''
  #rev = 0
  #ghostRev = 0
  #ahead: Ahead | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(host: InputHost, options: InputOptions) {
    this.#host = host
    this.#options = { ...options }
    this.#messages = [...(options.messages ?? [])]
    this.#open = inputPrefill(options.cacheSalt ?? '', {
      wanted: () => this.#host.openTokens(this.#messages, this.#text, this.#options.raw ?? false),
      onProgress: () => this.#progress(),
    })
    this.#host.check(this.#options.raw ?? false)
    this.#follow()
  }

  /** The open message. */
  get text(): string {
    return this.#text
  }

  /** Rises by one with every change of the text. */
  get rev(): number {
    return this.#rev
  }

  /** The conversation before the open message. */
  get messages(): readonly ChatMessage[] {
    return this.#messages
  }

  /** Changes options from now on. `messages` replaces the conversation. */
  configure(options: Partial<InputOptions>): void {
    this.#live()
    this.#options = { ...this.#options, ...options }
    if (options.messages) this.#messages = [...options.messages]
    this.#changed()
  }

  append(text: string): void {
    this.replace(this.#text.length, text)
  }

  /**
   * Everything after the UTF-16 offset `base` becomes `text`.
   * @throws IncipitError `invalid_request` for an offset outside the text
   */
  replace(base: number, text: string): void {
    this.#live()
    if (!Number.isInteger(base) || base < 0 || base > this.#text.length) {
      throw new IncipitError('invalid_request', `base must be from 0 to ${this.#text.length}, not ${base}`, {
        param: 'base',
      })
    }
    const next = this.#text.slice(0, base) + text
    if (next === this.#text) return
    this.#rhythm.changed(performance.now())
    const typedThrough = this.#typesThrough(next)
    this.#text = next
    if (!typedThrough) this.#changed()
    else {
      this.#rev++
      this.#follow()
      this.#ghost(typedThrough)
    }
  }

  /** The whole text now reads this: what is new from the first difference on replaces the rest. */
  revise(text: string): void {
    let same = 0
    while (same < text.length && text[same] === this.#text[same]) same++
    // Not between the two halves of a surrogate pair.
    if (same > 0 && /[\uD800-\uDBFF]/.test(text[same - 1]!)) same--
    this.replace(same, text.slice(same))
  }

  clear(): void {
    this.replace(0, '')
  }

  /** Puts a finished message into the conversation, such as an assistant's from elsewhere. */
  add(message: ChatMessage): void {
    this.#live()
    this.#messages.push(message)
    this.#changed()
  }

  /**
   * The text is final: it becomes a user message of the conversation (in raw mode it stays the prompt).
   * @throws IncipitError `invalid_request` when there is no text
   */
  commit(): ChatMessage {
    this.#live()
    if (this.#text === '') throw new IncipitError('invalid_request', 'there is no text to commit', { param: 'text' })
    const message: ChatMessage = { role: 'user', content: this.#text }
    if (this.#options.raw) return message
    this.#messages.push(message)
    this.#text = ''
    this.#rev++
    clearTimeout(this.#timer)
    // A reply ahead stays: `respond` will find out whether it fits. The prefill stays as it is for it, too.
    return message
  }

  /**
   * Answers the conversation. The reply joins it when it is done. A reply that was begun ahead for exactly this request
   * is released at once.
   * @throws as `Engine.generate`
   */
  respond(request: Partial<GenerateRequest> = {}): Generation {
    this.#live()
    clearTimeout(this.#timer)
    const whole = this.#request(request)
    const ahead = this.#ahead
    this.#ahead = undefined
    const typed = ahead && this.#fits(ahead, whole)
    if (ahead && typed) {
      this.#rhythm.learnt(true)
      ahead.flight.maxTokens += typed.tokens
      const { push, generation } = this.#host.generation(ahead.flight, request.signal)
      this.#host.adopt(ahead.flight)
      const listen = afterTyped(typed, this.#joining(push))
      ahead.sink = listen
      for (const event of ahead.events.splice(0)) listen(event)
      if (ahead.flight.ended) ahead.flight.close(ahead.flight.ended.error)
      return generation
    }
    if (ahead) this.#discard(ahead)
    let push: (event: GenerateEvent) => void = () => {}
    const flight = this.#host.prepare(whole, this.#open, (event) => push(event))
    const reading = this.#host.generation(flight, request.signal)
    push = this.#joining(reading.push)
    this.#host.start(flight)
    return reading.generation
  }

  /** Ends the session: nothing of it stays computed. A reply that is running goes on. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    if (this.#ahead) this.#discard(this.#ahead)
    this.#ahead = undefined
    this.#host.forget(this.#open)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #live(): void {
    if (this.#closed) throw new IncipitError('closed', 'the input session was closed')
  }

  #request(request: Partial<GenerateRequest>): GenerateRequest {
    const {
      messages: _messages,
      raw,
      speculate: _s,
      replyBudget: _b,
      onProgress: _p,
      onPreview: _g,
      ...options
    } = this.#options
    return { ...options, ...request, ...(raw ? { prompt: this.#text } : { messages: [...this.#messages] }) }
  }

  /** Passes events on and puts the finished reply into the conversation. */
  #joining(push: (event: GenerateEvent) => void): (event: GenerateEvent) => void {
    let reply = ''
    // Messages that are added while it is made come after it.
    const place = this.#messages.length
    return (event) => {
      if (event.type === 'delta') reply += event.text
      if (event.type === 'done' && !this.#closed && !this.#options.raw && event.finishReason !== 'cancelled') {
        this.#messages.splice(place, 0, { role: 'assistant', content: reply })
        this.#follow()
      }
      push(event)
    }
  }

  #changed(): void {
    this.#rev++
    clearTimeout(this.#timer)
    if (this.#ahead) {
      this.#rhythm.learnt(false)
      this.#discard(this.#ahead)
      this.#ahead = undefined
    }
    this.#follow()
    this.#expectPause()
  }

  #follow(): void {
    if (this.#closed || (this.#options.speculate ?? 'prefill') === 'off') return
    this.#host.follow(this.#open)
  }

  #progress(): void {
    this.#options.onProgress?.({
      rev: this.#rev,
      tokens: this.#open.tokens.length,
      computed: Math.min(computedRows(this.#open), this.#open.tokens.length),
    })
  }

  #expectPause(): void {
    if (this.#options.speculate !== 'reply' || this.#text.trim() === '') return
    this.#timer = setTimeout(() => this.#begin(), this.#rhythm.pauseMs(this.#text))
    this.#timer.unref()
  }

  /**
   * In raw mode, what is typed may be what the reply said anyway: then the reply goes on, and an editor shows no flicker.
   */
  #typesThrough(next: string): Ahead | undefined {
    const ahead = this.#ahead
    if (!ahead || !this.#options.raw || (this.#options.stop?.length ?? 0) > 0) return undefined
    if (!next.startsWith(ahead.text)) return undefined
    return ahead.said.startsWith(next.slice(ahead.text.length)) ? ahead : undefined
  }

  /**
   * Whether the reply begun ahead is the reply to this request, and how much of it was typed meanwhile. Typed text counts
   * only where its tokens are the reply's own: then the model would go on from exactly the same state.
   */
  #fits(ahead: Ahead, request: GenerateRequest): { characters: number; tokens: number } | undefined {
    const characters = this.#options.raw ? this.#text.length - ahead.text.length : 0
    if (ahead.key !== keyOf(characters > 0 ? { ...request, prompt: ahead.text } : request)) return undefined
    if (characters === 0) return { characters, tokens: 0 }
    const tokens = this.#host.repliedTokens(ahead.flight, this.#text)
    const done = ahead.events.at(-1)
    const cutShort = done?.type === 'done' && done.finishReason !== 'stop'
    return tokens === undefined || cutShort ? undefined : { characters, tokens }
  }

  /** The writer paused: begin the reply as if the text were complete. */
  #begin(): void {
    const messages: ChatMessage[] = [...this.#messages, { role: 'user', content: this.#text }]
    const request = { ...this.#request({}), ...(this.#options.raw ? {} : { messages }) }
    const emit = (event: GenerateEvent) => this.#aheadEvent(ahead, event)
    let flight: Flight
    try {
      flight = this.#host.prepare(request, this.#open, emit)
    } catch (error) {
      // Too long, or refused by the template: `respond` will say so, if it comes to that.
      if (error instanceof IncipitError) return
      throw error
    }
    const ahead: Ahead = {
      flight,
      key: keyOf(request),
      text: this.#text,
      events: [],
      said: '',
      ghost: '',
      sink: undefined,
    }
    // A look ahead is for somebody who waits.
    flight.looks = []
    flight.revocable = true
    flight.ahead = {
      budget: this.#options.replyBudget ?? defaultReplyBudget,
      dropped: () => {
        if (this.#ahead !== ahead) return
        this.#ahead = undefined
        this.#withdraw(ahead)
      },
    }
    this.#ahead = ahead
    this.#host.start(flight)
  }

  #aheadEvent(ahead: Ahead, event: GenerateEvent): void {
    if (ahead.sink) {
      ahead.sink(event)
      return
    }
    ahead.events.push(event)
    if (event.type !== 'delta') return
    ahead.said += event.text
    this.#ghost(ahead)
  }

  #discard(ahead: Ahead): void {
    this.#withdraw(ahead)
    ahead.sink = () => {}
    this.#host.cancel(ahead.flight)
  }

  /** Shows what the reply says beyond the open text. */
  #ghost(ahead: Ahead): void {
    const text = ahead.said.slice(this.#options.raw ? this.#text.length - ahead.text.length : 0)
    if (text !== ahead.ghost) this.#showGhost(ahead, text)
  }

  #withdraw(ahead: Ahead): void {
    if (ahead.ghost !== '') this.#showGhost(ahead, '')
  }

  #showGhost(ahead: Ahead, text: string): void {
    ahead.ghost = text
    this.#options.onPreview?.({
      type: 'provisional',
      rev: ++this.#ghostRev,
      base: 0,
      text,
      tokens: text === '' ? 0 : ahead.flight.reply.timings.predictedN,
      // The full model said it; only the input may still change.
      stability: text === '' ? 0 : 1,
      source: 'input',
      ...(text === '' ? { reason: 'input_changed' as const } : {}),
    })
  }
}

/** Leaves out of a reply what was typed since it began. */
function afterTyped(
  typed: { characters: number; tokens: number },
  push: (event: GenerateEvent) => void,
): (event: GenerateEvent) => void {
  let characters = typed.characters
  let tokens = typed.tokens
  return (event) => {
    if (event.type === 'delta' && characters > 0) {
      const text = event.text.slice(characters)
      characters -= Math.min(characters, event.text.length)
      const fewer = Math.min(tokens, event.tokens)
      tokens -= fewer
      if (text !== '') push({ ...event, text, tokens: event.tokens - fewer })
    } else if (event.type === 'provisional' && typed.characters > 0) {
      const before = Math.max(0, typed.characters - event.base)
      push({ ...event, base: Math.max(0, event.base - typed.characters), text: event.text.slice(before) })
    } else if (event.type === 'done' && typed.tokens > 0) {
      const { usage } = event
      push({
        ...event,
        usage: {
          ...usage,
          promptTokens: usage.promptTokens + typed.tokens,
          completionTokens: usage.completionTokens - typed.tokens,
        },
      })
    } else push(event)
  }
}

/** What two requests must have in common to have the same reply. */
function keyOf(request: GenerateRequest): string {
  const { signal: _s, tier: _t, prediction: _p, cachePrompt: _c, grammar, ...rest } = request
  const text = JSON.stringify(rest, Object.keys(rest).sort().concat('role', 'content', 'name'))
  return grammar ? `${text} ${idOf(grammar)}` : text
}

const ids = new WeakMap<object, number>()
let lastId = 0

/** A number for an object that has no text. */
function idOf(object: object): number {
  const id = ids.get(object) ?? ++lastId
  ids.set(object, id)
  return id
}
