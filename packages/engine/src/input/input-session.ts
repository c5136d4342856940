import type { InputApi } from '../api/engine-api.ts'
import { IncipitError } from '../api/errors.ts'
import type { Generation } from '../api/generation.ts'
import type { InputOptions } from '../api/input-options.ts'
import type { ChatMessage, GenerateRequest } from '../api/request.ts'
import type { ActiveRequest } from '../serving/active-request.ts'
import { computedRows, type InputPrefill, inputPrefill } from '../serving/input-prefill.ts'
import type { ReplySink } from '../serving/reply-stream.ts'
import { Conversation } from './conversation.ts'
import { EarlyReply, keyOf, type TypedThrough } from './early-reply.ts'
import type { InputHost } from './input-host.ts'
import { InputText } from './input-text.ts'
import { PauseDetector } from './pause-detector.ts'
import { Preview } from './preview.ts'
import type { OpenPrompt } from './prompt-tokenizer.ts'
import { wholeRequest } from './whole-request.ts'

const defaultReplyBudget = 24

/**
 * A conversation whose next message is still being written: typed, spoken or retrieved. Prefill runs while it is open;
 * the answer is exactly that of a request sent in one piece, because the final text is tokenised whole and what was
 * computed is used only as far as the tokens agree.
 */
export class InputSession implements InputApi {
  readonly #host: InputHost
  readonly #prefill: InputPrefill
  readonly #pauses = new PauseDetector()
  readonly #conversation: Conversation
  readonly #input = new InputText()
  readonly #preview: Preview
  #options: InputOptions
  /** Undefined when the conversation has changed since it was made. */
  #prompt: OpenPrompt | undefined
  #early: EarlyReply | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false
  /** What a callback threw: the session ended with it. */
  #fault: { readonly error: unknown } | undefined

  /** @throws IncipitError `chat_template` for a conversation with a model that has no template */
  constructor(host: InputHost, options: InputOptions) {
    this.#host = host
    this.#options = { ...options }
    this.#conversation = new Conversation(options.messages ?? [])
    this.#preview = new Preview((event) => this.#call(() => this.#options.onPreview?.(event)))
    this.#prefill = inputPrefill(options.cacheSalt ?? '', {
      wanted: () => this.#openPrompt().tokens(this.#input.text),
      onProgress: () => this.#progress(),
    })
    this.#openPrompt()
    this.#follow()
  }

  /** The open message. */
  get text(): string {
    return this.#input.text
  }

  /** Rises by one with every change of the text. */
  get rev(): number {
    return this.#input.rev
  }

  /** The conversation before the open message. */
  get messages(): readonly ChatMessage[] {
    return this.#conversation.messages
  }

  /** Changes options from now on. `messages` replaces the conversation. */
  configure(options: Partial<InputOptions>): void {
    this.#live()
    this.#options = { ...this.#options, ...options }
    if (options.messages) this.#conversation.replace(options.messages)
    this.#input.touch()
    this.#promptChanged()
    this.#changed()
  }

  append(text: string): void {
    this.replace(this.text.length, text)
  }

  /**
   * Everything after the UTF-16 offset `base` becomes `text`.
   * @throws IncipitError `invalid_request` for an offset outside the text
   */
  replace(base: number, text: string): void {
    this.#live()
    const next = this.#input.replaced(base, text)
    if (next === this.text) return
    this.#pauses.changed(performance.now())
    const typedThrough = this.#typesThrough(next)
    this.#input.set(next)
    if (!typedThrough) this.#changed()
    else {
      this.#follow()
      this.#showPreview(typedThrough)
    }
  }

  /** The whole text now reads this: what is new from the first difference on replaces the rest. */
  revise(text: string): void {
    const base = this.#input.firstDifference(text)
    this.replace(base, text.slice(base))
  }

  clear(): void {
    this.replace(0, '')
  }

  /** Puts a finished message into the conversation, such as an assistant's from elsewhere. */
  add(message: ChatMessage): void {
    this.#live()
    this.#conversation.add(message)
    this.#input.touch()
    this.#promptChanged()
    this.#changed()
  }

  /**
   * The text is final: it becomes a user message of the conversation (in raw mode it stays the prompt).
   * @throws IncipitError `invalid_request` when there is no text
   */
  commit(): ChatMessage {
    this.#live()
    const { text } = this
    if (text === '') throw new IncipitError('invalid_request', 'there is no text to commit', { param: 'text' })
    const message: ChatMessage = { role: 'user', content: text }
    if (this.#options.raw) return message
    this.#conversation.add(message)
    this.#input.set('')
    this.#promptChanged()
    clearTimeout(this.#timer)
    // An early reply stays: `respond` will find out whether it fits. The prefill stays as it is for it, too.
    return message
  }

  /**
   * Answers the conversation, or `messages` in its place. The reply joins the conversation when it is done. A reply that was
   * begun early for exactly this request is released at once.
   * @throws as `Engine.generate`
   */
  respond(request: Partial<GenerateRequest> = {}): Generation {
    const { sink, read } = this.#host.reading()
    return read(this.respondTo(sink, request), request.signal)
  }

  /**
   * The same for somebody who takes the events as they come, and sees to the signal.
   * @throws as `Engine.generate`
   */
  respondTo(sink: ReplySink, request: Partial<GenerateRequest> = {}): ActiveRequest {
    this.#live()
    clearTimeout(this.#timer)
    const whole = this.#request(request)
    const early = this.#early
    this.#early = undefined
    const typed = early && this.#fits(early, whole)
    if (early && typed) return this.#release(early, typed, sink)
    if (early) this.#discard(early)
    return this.#host.start(whole, { input: this.#prefill, sink: this.#joining(sink) })
  }

  /** Ends the session: nothing of it stays computed. A reply that is running goes on. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#timer)
    if (this.#early) this.#discard(this.#early)
    this.#early = undefined
    this.#host.forget(this.#prefill)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #live(): void {
    if (this.#fault) throw this.#fault.error
    if (this.#closed) throw new IncipitError('closed', 'the input session was closed')
  }

  #request(request: Partial<GenerateRequest>): GenerateRequest {
    return wholeRequest(this.#options, request, this)
  }

  #joining(sink: ReplySink): ReplySink {
    return this.#conversation.joining(
      sink,
      () => !this.#closed && !this.#options.raw,
      () => {
        this.#promptChanged()
        this.#follow()
      },
    )
  }

  // --- prefill ------------------------------------------------------------------------------------------------------

  #openPrompt(): OpenPrompt {
    this.#prompt ??= this.#options.raw
      ? this.#host.openPrompt('raw', this.#options.frame)
      : this.#host.openPrompt(this.messages, undefined, this.#options.template)
    return this.#prompt
  }

  #promptChanged(): void {
    this.#prompt = undefined
  }

  /** The text, or what it stands for, changed: an early reply was for something else. */
  #changed(): void {
    clearTimeout(this.#timer)
    if (this.#early) {
      this.#pauses.learnt(false)
      this.#discard(this.#early)
      this.#early = undefined
    }
    this.#follow()
    this.#expectPause()
  }

  #follow(): void {
    if (this.#closed || (this.#options.speculate ?? 'prefill') === 'off') return
    this.#host.follow(this.#prefill)
  }

  #progress(): void {
    const { tokens } = this.#prefill
    const computed = Math.min(computedRows(this.#prefill), tokens.length)
    this.#call(() => this.#options.onProgress?.({ rev: this.rev, tokens: tokens.length, computed }))
  }

  /** A callback that throws ends this session, and disturbs nobody else. */
  #call(callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.#fault ??= { error }
      queueMicrotask(() => this.close())
    }
  }

  // --- early replies ------------------------------------------------------------------------------------------------

  #expectPause(): void {
    if (this.#options.speculate !== 'reply' || this.text.trim() === '') return
    this.#timer = setTimeout(() => this.#beginEarly(), this.#options.pauseMs ?? this.#pauses.pauseMs(this.text))
    this.#timer.unref()
  }

  /** The writer paused: begin the reply as if the text were complete. */
  #beginEarly(): void {
    const messages: ChatMessage[] = [...this.messages, { role: 'user', content: this.text }]
    const request = { ...this.#request({}), ...(this.#options.raw ? {} : { messages }) }
    const dropped = () => {
      if (this.#early !== early) return
      this.#early = undefined
      this.#preview.withdraw()
    }
    const early = new EarlyReply(request, this.text, { text: () => this.#showPreview(early), failed: dropped })
    const terms = { budget: this.#options.replyBudget ?? defaultReplyBudget, onDropped: dropped }
    try {
      early.startedAs(this.#host.start(request, { input: this.#prefill, sink: early, early: terms }))
    } catch (error) {
      // Too long, or refused by the template: `respond` will say so, if it comes to that.
      if (error instanceof IncipitError) return
      throw error
    }
    this.#early = early
  }

  /**
   * In raw mode, what is typed may be what the reply said anyway: then the reply goes on, and an editor shows no flicker.
   */
  #typesThrough(next: string): EarlyReply | undefined {
    const early = this.#early
    if (!early || !this.#options.raw || this.#options.frame || (this.#options.stop?.length ?? 0) > 0) return undefined
    // It holds from where the reply begins, which would be elsewhere.
    if (this.#options.constraint) return undefined
    if (!next.startsWith(early.text)) return undefined
    const typed = next.slice(early.text.length)
    // All of it is typed, and it says no more before the text is final: another one is to be begun behind it.
    if (typed === early.said && early.isSpent(this.#options.replyBudget ?? defaultReplyBudget)) return undefined
    return early.said.startsWith(typed) ? early : undefined
  }

  /**
   * Whether the early reply is the reply to this request, and how much of it was typed meanwhile. Typed text counts only
   * where its tokens are the reply's own: then the model would go on from exactly the same state.
   */
  #fits(early: EarlyReply, request: GenerateRequest): TypedThrough | undefined {
    if (early.failed) return undefined
    const typed = this.#options.raw && !this.#options.frame
    const characters = typed ? this.text.length - early.text.length : 0
    if (early.key !== keyOf(characters > 0 ? { ...request, prompt: early.text } : request)) return undefined
    if (characters === 0) return { characters, tokens: 0 }
    if (early.cutShort) return undefined
    const tokens = this.#host.repliedTokens(early.request, this.text)
    return tokens === undefined ? undefined : { characters, tokens }
  }

  #release(early: EarlyReply, typed: TypedThrough, sink: ReplySink): ActiveRequest {
    this.#pauses.learnt(true)
    this.#host.makeFinal(early.request, typed.tokens)
    early.releaseTo(this.#joining(sink), typed)
    return early.request
  }

  #discard(early: EarlyReply): void {
    this.#preview.withdraw()
    early.discard()
    this.#host.cancel(early.request)
  }

  /** Shows what the early reply says beyond the open text. */
  #showPreview(early: EarlyReply): void {
    const typed = this.#options.raw ? this.text.length - early.text.length : 0
    this.#preview.show(early.said.slice(typed), early.request.reply.timings.predictedN)
  }
}
