import type { InputApi } from '../api/engine-api.ts'
import { IncipitError } from '../api/errors.ts'
import type { ProvisionalEvent } from '../api/events.ts'
import type { Generation } from '../api/generation.ts'
import type { InputOptions } from '../api/input-options.ts'
import type { ModelInfo } from '../api/model-info.ts'
import type { ChatMessage, GenerateRequest } from '../api/request.ts'
import { Conversation } from '../input/conversation.ts'
import { InputText } from '../input/input-text.ts'
import { wholeRequest } from '../input/whole-request.ts'
import type { ReplySink } from '../serving/reply-stream.ts'
import { Deaths } from './deaths.ts'
import type { FromChild, PlainInputOptions, ToChild, Wants } from './messages.ts'
import type { SupervisedRequest } from './supervised-request.ts'

/** What an input needs of the engine that it is open in. */
export interface InputHost {
  readonly info: ModelInfo
  send(message: ToChild): void
  /** @param first what an engine that has the input is told: it may have begun the reply already */
  request(
    request: GenerateRequest,
    first: (id: number) => ToChild,
    through: (sink: ReplySink) => ReplySink,
  ): SupervisedRequest
  forgetInput(id: number): void
}

type About = Extract<FromChild, { readonly type: 'progress' | 'preview' | 'inputFailed' }>

/**
 * An open input as the parent remembers it. Text and conversation are kept here, so that they can be read at once and
 * opened again in another engine; what is computed of them is in the child.
 */
export class SpawnedInput implements InputApi {
  readonly #id: number
  readonly #host: InputHost
  readonly #conversation: Conversation
  readonly #input = new InputText()
  #options: InputOptions
  /** What a revision of the child is less than one of ours: it was opened later. */
  #revsBefore = 0
  /** The preview as it was last shown; its revisions go on over several children. */
  #preview: ProvisionalEvent | undefined
  #previewsBefore = 0
  /** Rises when the conversation is replaced: a reply that joins it afterwards finds a place that the child did not know. */
  #replaced = 0
  readonly #deaths = new Deaths()
  #closed = false
  #fault: { readonly error: unknown } | undefined

  /** @throws IncipitError `chat_template` for a conversation with a model that has no template */
  constructor(id: number, host: InputHost, options: InputOptions) {
    if (!options.raw && !host.info.hasChatTemplate) {
      throw new IncipitError('chat_template', `${host.info.name} carries no chat template; use a raw prompt`)
    }
    this.#id = id
    this.#host = host
    this.#options = { ...options }
    this.#conversation = new Conversation(options.messages ?? [])
    this.#open()
  }

  get text(): string {
    return this.#input.text
  }

  get rev(): number {
    return this.#input.rev
  }

  get messages(): readonly ChatMessage[] {
    return this.#conversation.messages
  }

  configure(options: Partial<InputOptions>): void {
    this.#live()
    this.#options = { ...this.#options, ...options }
    if (options.messages) {
      this.#conversation.replace(options.messages)
      this.#replaced++
    }
    this.#input.touch()
    this.#tellOptions(plainOptions(options))
  }

  append(text: string): void {
    this.replace(this.text.length, text)
  }

  replace(base: number, text: string): void {
    this.#live()
    const next = this.#input.replaced(base, text)
    if (next === this.text) return
    this.#input.set(next)
    this.#host.send({ type: 'replace', input: this.#id, base, text })
  }

  revise(text: string): void {
    const base = this.#input.firstDifference(text)
    this.replace(base, text.slice(base))
  }

  clear(): void {
    this.replace(0, '')
  }

  add(message: ChatMessage): void {
    this.#live()
    this.#conversation.add(message)
    this.#input.touch()
    this.#host.send({ type: 'add', input: this.#id, message })
  }

  commit(): ChatMessage {
    this.#live()
    const { text } = this
    if (text === '') throw new IncipitError('invalid_request', 'there is no text to commit', { param: 'text' })
    const message: ChatMessage = { role: 'user', content: text }
    if (this.#options.raw) return message
    this.#conversation.add(message)
    this.#input.set('')
    this.#host.send({ type: 'commit', input: this.#id })
    return message
  }

  respond(request: Partial<GenerateRequest> = {}): Generation {
    this.#live()
    const replaced = this.#replaced
    const { signal: _signal, ...plain } = request
    const reply: SupervisedRequest = this.#host.request(
      wholeRequest(this.#options, request, this),
      (id) => ({ type: 'respond', id, input: this.#id, request: plain }),
      (sink) =>
        this.#conversation.joining(
          sink,
          () => !this.#closed && !this.#options.raw,
          () => {
            // Otherwise the child has put it into the same place.
            if (!reply.moved && replaced === this.#replaced) return
            this.#input.touch()
            this.#tellOptions({ messages: this.messages })
          },
        ),
    )
    return reply
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#host.send({ type: 'closeInput', input: this.#id })
    this.#host.forgetInput(this.#id)
  }

  [Symbol.dispose](): void {
    this.close()
  }

  // --- for the engine -----------------------------------------------------------------------------------------------

  take(message: About): void {
    if (this.#closed) return
    if (message.type === 'inputFailed') this.#fault ??= { error: message.error }
    else if (message.type === 'preview') {
      this.#show({ ...message.event, rev: message.event.rev + this.#previewsBefore })
    } else {
      const { rev, ...progress } = message.progress
      this.#call(() => this.#options.onProgress?.({ rev: rev + this.#revsBefore, ...progress }))
    }
  }

  /**
   * What was said of an early reply is gone.
   * @param error ends the input when its engines die too often
   * @returns whether it did
   */
  engineDied(error: IncipitError): boolean {
    this.#withdraw()
    const tooOften = this.#deaths.another(performance.now())
    if (tooOften) {
      this.#fault ??= { error }
      this.close()
    }
    return tooOften
  }

  #withdraw(): void {
    const shown = this.#preview
    if (shown === undefined) return
    if (shown.text !== '') {
      const gone = { text: '', tokens: 0, stability: 0, reason: 'restart' } as const
      this.#show({ ...shown, ...gone, rev: shown.rev + 1 })
    }
    this.#previewsBefore = this.#preview?.rev ?? 0
  }

  /** Another engine is there. */
  openAgain(): void {
    this.#open()
  }

  #open(): void {
    const { text } = this
    // The child counts one change, where there is a text.
    this.#revsBefore = this.rev - (text === '' ? 0 : 1)
    const options = { ...plainOptions(this.#options), messages: this.messages }
    this.#host.send({ type: 'open', input: this.#id, options, text, wants: this.#wants })
  }

  #tellOptions(options: PlainInputOptions): void {
    this.#host.send({ type: 'configure', input: this.#id, options, wants: this.#wants })
  }

  get #wants(): Wants {
    const { onProgress, onPreview } = this.#options
    return { progress: onProgress !== undefined, preview: onPreview !== undefined }
  }

  #show(event: ProvisionalEvent): void {
    this.#preview = event
    this.#call(() => this.#options.onPreview?.(event))
  }

  /** A callback that throws ends this input, and disturbs nobody else. */
  #call(callback: () => void): void {
    try {
      callback()
    } catch (error) {
      this.#fault ??= { error }
      queueMicrotask(() => this.close())
    }
  }

  #live(): void {
    if (this.#fault) throw this.#fault.error
    if (this.#closed) throw new IncipitError('closed', 'the input session was closed')
  }
}

function plainOptions(options: Partial<InputOptions>): PlainInputOptions {
  const { onProgress: _p, onPreview: _v, ...plain } = options
  return plain
}
