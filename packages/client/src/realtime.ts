import { firstDifference } from './bind-input.ts'
import { ClientError, errorFrom, memberOf } from './client-error.ts'
import { type RealtimeReply, RunningReply } from './realtime-reply.ts'
import { RevisableText } from './revisable-text.ts'
import { noteAccount, provisionalOf, type ReplyDone } from './stream.ts'
import type { ToolCall } from './tool-calls.ts'

/** A turn of the conversation. */
export interface Message {
  role: string
  content: string
  /** Of an assistant: the tools that it wanted called. */
  tool_calls?: readonly ToolCall[]
  /** Of a tool: the call that this is the result of. */
  tool_call_id?: string
}

export interface RealtimeOptions {
  /** Settings of the session as `session.update` spells them, such as `temperature`, `speculate` or `provisional`. */
  session?: Record<string, unknown>
  /** The conversation before the open message. */
  messages?: readonly Message[]
  /** Sent as a subprotocol, because browsers cannot set headers here. */
  apiKey?: string
  /** Closes the session. */
  signal?: AbortSignal
}

/** How a session stands. A new object for every change. */
export interface RealtimeState {
  /**
   * `connecting`: for the first time, or again. `idle`: the server closed a connection that nobody used; the next change
   * opens it again. `closed`: for good, because of `close`, the signal, or an error that trying again does not mend.
   */
  readonly status: 'connecting' | 'open' | 'idle' | 'closed'
  /** How far the open message is computed, in tokens. */
  readonly progress: { readonly tokens: number; readonly computed: number }
  /**
   * What went wrong last: why there is no connection, or what the server refused. Gone with the next connection, and refused
   * settings with their next change.
   */
  readonly error?: ClientError
}

/** First and longest wait before another connection is tried, in milliseconds. */
const firstDelay = 250
const longestDelay = 5000
const nothingRead = { tokens: 0, computed: 0 } as const
/** Failures that another try does not mend. */
const fatal = ['invalid_api_key', 'origin_refused', 'not_found']
/** Seeds are below 2^31. */
const seeds = 2 ** 31

/**
 * Opens a conversation over `/v1/realtime`, whose next message the server works on while it is written. The session keeps
 * its whole state here and connects again by itself: settings, conversation and open message are replayed, and a reply
 * that was being made is asked for again with the same seed and goes on where it was.
 *
 * @param url of the server's `/v1/realtime`; `http` and `ws` addresses both do, and in a page one without a host
 *
 * @example
 * const chat = openRealtime('http://127.0.0.1:8080/v1/realtime', { session: { provisional: true, speculate: 'reply' } })
 * bindInput(textarea, chat, async () => {
 *   const reply = chat.send()
 *   textarea.value = ''
 *   reply.text.subscribe(({ committed, provisional }) => show(committed, provisional))
 *   await reply.done
 * })
 */
export function openRealtime(url: string | URL, options: RealtimeOptions = {}): Realtime {
  return new Realtime(url, options)
}

/** See {@link openRealtime}. */
export class Realtime {
  readonly #url: URL
  readonly #apiKey: string | undefined
  #settings: Record<string, unknown>
  /** The seed of sampled replies, where the settings have none: known here, so that a reply can be made again. */
  #seed = newSeed()
  #messages: readonly Message[]
  #text = ''
  #preview = new RevisableText()
  #previewId: string | undefined
  #running: RunningReply | undefined
  #refused: ClientError | undefined
  #state: RealtimeState = { status: 'connecting', progress: nothingRead }
  readonly #listeners = new Set<(state: RealtimeState) => void>()
  #socket: WebSocket | undefined
  /** The server has said its first word on this connection. */
  #isOpen = false
  #retry: ReturnType<typeof setTimeout> | undefined
  #failures = 0
  readonly #signal: AbortSignal | undefined
  readonly #onAbort = () => this.close()

  constructor(url: string | URL, { session = {}, messages = [], apiKey, signal }: RealtimeOptions) {
    const { location } = globalThis as { location?: { href: string } }
    this.#url = new URL(url, location?.href)
    this.#url.protocol = this.#url.protocol.replace('http', 'ws')
    this.#apiKey = apiKey
    this.#settings = session
    this.#messages = messages
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort)
    if (signal?.aborted) this.close()
    else this.#connect()
  }

  /** The open message. */
  get text(): string {
    return this.#text
  }

  /** The conversation before it. */
  get messages(): readonly Message[] {
    return this.#messages
  }

  /** What the reply will begin with if the open message stays as it is: provisional text only, until `send`. */
  get preview(): RevisableText {
    return this.#preview
  }

  get state(): RealtimeState {
    return this.#state
  }

  /** Why the server refused the settings. No reply is asked for until they are others. */
  get refused(): ClientError | undefined {
    return this.#refused
  }

  /**
   * Calls `listener` with the state now, and after every change; bound, as `RevisableText.subscribe`.
   * @returns stops it
   */
  readonly subscribe = (listener: (state: RealtimeState) => void): (() => void) => {
    const own = (state: RealtimeState) => listener(state)
    this.#listeners.add(own)
    own(this.#state)
    return () => {
      this.#listeners.delete(own)
    }
  }

  /** Everything after the UTF-16 offset `base` of the open message becomes `text`. */
  replace(base: number, text: string): void {
    const next = this.#text.slice(0, base) + text
    if (next === this.#text) return
    const appends = base >= this.#text.length
    this.#text = next
    this.#say(appends ? 'input_text.append' : 'input_text.replace', appends ? { text } : { base, text })
  }

  append(text: string): void {
    this.replace(this.#text.length, text)
  }

  /** The open message becomes `text`; what is the same at the beginning stays computed. */
  revise(text: string): void {
    const base = firstDifference(this.#text, text)
    this.replace(base, text.slice(base))
  }

  clear(): void {
    this.replace(0, '')
  }

  /** Changes settings; null sets one to its default. Why the server refuses some stands in `state.error`. */
  update(session: Record<string, unknown>): void {
    this.#settings = { ...this.#settings, ...session }
    if (this.#refused) this.#set({ error: undefined })
    this.#refused = undefined
    this.#saySettings()
  }

  /**
   * Another conversation before the open message.
   * @throws ClientError `invalid_request` while a reply is made
   */
  setMessages(messages: readonly Message[]): void {
    if (this.#running) throw new ClientError(0, 'invalid_request', 'a reply is being made')
    this.#messages = messages
    this.#say('conversation.replace', { messages })
  }

  /**
   * The open message is final: asks for the reply to it.
   * @param response settings of this reply alone
   * @throws ClientError `invalid_request` while another reply is made, or when there is nothing to answer; why the server
   *   refused the settings, because the reply would be made without them
   */
  send(response?: Record<string, unknown>): RealtimeReply {
    if (this.#running) throw new ClientError(0, 'invalid_request', 'a reply is being made')
    if (this.#refused) throw this.#refused
    const raw = this.#settings.raw === true
    if (this.#text === '' && (raw || this.#messages.length === 0)) {
      throw new ClientError(0, 'invalid_request', 'there is nothing to answer')
    }
    const reply = new RunningReply(this.#preview, this.#previewId, response, () => this.#say('response.cancel', {}))
    this.#running = reply
    this.#preview = new RevisableText()
    this.#previewId = undefined
    if (!raw && this.#text !== '') {
      this.#messages = [...this.#messages, { role: 'user', content: this.#text }]
      this.#text = ''
      this.#say('input_text.commit', {})
      this.#set({ progress: nothingRead })
    }
    this.#ask(reply)
    if (this.#state.status === 'closed') this.#end(new ClientError(0, 'closed', 'the session is closed'))
    return reply
  }

  /** Ends the session, and the reply that is being made. */
  close(): void {
    this.#closeWith(undefined)
  }

  #closeWith(error: ClientError | undefined): void {
    clearTimeout(this.#retry)
    this.#signal?.removeEventListener('abort', this.#onAbort)
    const socket = this.#socket
    this.#socket = undefined
    this.#isOpen = false
    socket?.close()
    this.#set({ status: 'closed', ...(error && { error }) })
    this.#end(error ?? new ClientError(0, 'closed', 'the session was closed'))
  }

  // --- the connection ---------------------------------------------------------------------------------------------------

  #connect(): void {
    clearTimeout(this.#retry)
    this.#retry = undefined
    // A subprotocol has no other characters (RFC 9110, section 5.6.2).
    if (this.#apiKey !== undefined && !/^[\w!#$%&'*+\-.^`|~]+$/.test(this.#apiKey)) {
      const message = 'the API key has characters that a WebSocket of a browser cannot carry'
      this.#closeWith(new ClientError(0, 'invalid_api_key', message))
      return
    }
    const socket = new WebSocket(this.#url, this.#apiKey === undefined ? [] : ['realtime', `bearer.${this.#apiKey}`])
    this.#socket = socket
    this.#set({ status: 'connecting' })
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) this.#take(String(data))
    }
    socket.onclose = ({ code }) => {
      if (this.#socket === socket) void this.#lost(code)
    }
  }

  async #lost(code: number): Promise<void> {
    const wasOpen = this.#isOpen
    this.#isOpen = false
    this.#socket = undefined
    this.#preview.restart()
    this.#previewId = undefined
    if (wasOpen && code === 1000 && !this.#running) {
      this.#set({ status: 'idle' })
      return
    }
    this.#set({ status: 'connecting' })
    const delay = Math.min(longestDelay, firstDelay * 2 ** this.#failures++)
    // Not all at once, when a server comes back that many are waiting for.
    this.#retry = setTimeout(() => this.#connect(), delay * (0.5 + Math.random() / 2))
    if (wasOpen) return
    const error = await this.#reason()
    if (this.#state.status !== 'connecting') return
    if (fatal.includes(error.code)) this.#closeWith(error)
    else this.#set({ error })
  }

  /** A socket does not say why it was refused; the same address over HTTP does. */
  async #reason(): Promise<ClientError> {
    const url = new URL(this.#url)
    url.protocol = url.protocol.replace('ws', 'http')
    const headers = this.#apiKey === undefined ? {} : { authorization: `Bearer ${this.#apiKey}` }
    try {
      const response = await fetch(url, { headers, signal: this.#signal ?? null })
      const fallback = { code: 'connection_failed', message: `the server answered with status ${response.status}` }
      const error = errorFrom(response.status, await response.json().catch(() => undefined), fallback)
      // What a server says to whoever asks for no socket: there is nothing wrong with it.
      return error.code === 'bad_request' ? new ClientError(0, 'connection_lost', 'the connection was lost') : error
    } catch {
      return new ClientError(0, 'connection_failed', 'the server cannot be reached')
    }
  }

  /** Sends a change, if there is a connection; otherwise it is part of what is replayed. */
  #say(type: string, fields: object): void {
    if (this.#isOpen) this.#socket?.send(JSON.stringify({ type, ...fields }))
    else if (this.#state.status === 'idle') this.#connect()
  }

  #replay(): void {
    this.#saySettings()
    if (this.#messages.length > 0) this.#say('conversation.replace', { messages: this.#messages })
    if (this.#settings.raw === true && this.#text !== '') this.#say('input_text.append', { text: this.#text })
    if (this.#running) {
      this.#running.restart()
      this.#ask(this.#running)
    }
    if (this.#settings.raw !== true && this.#text !== '') this.#say('input_text.append', { text: this.#text })
  }

  #ask({ response }: RunningReply): void {
    this.#say('response.create', { event_id: askId, ...(response && { response }) })
  }

  #saySettings(): void {
    const session = { ...this.#settings, seed: this.#settings.seed ?? this.#seed }
    this.#say('session.update', { event_id: settingsId, session })
  }

  // --- what the server says ---------------------------------------------------------------------------------------------

  #take(data: string): void {
    const event: unknown = JSON.parse(data)
    const id = memberOf(event, 'response_id')
    const reply = this.#running
    switch (memberOf(event, 'type')) {
      case 'session.created':
        this.#failures = 0
        this.#isOpen = true
        this.#refused = undefined
        // Before anybody hears of it, who might have something to say.
        this.#replay()
        this.#set({ status: 'open', progress: nothingRead })
        return
      case 'input_text.progress':
        this.#set({ progress: { tokens: count(event, 'tokens'), computed: count(event, 'computed') } })
        return
      case 'response.created':
        reply?.created(id)
        return
      case 'response.output_text.provisional':
        this.#revise(id, memberOf(event, 'provisional'))
        return
      case 'response.output_text.delta':
        if (reply && !reply.say(String(memberOf(event, 'delta')))) this.#replyChanged()
        return
      case 'response.reasoning_text.delta':
        if (reply && !reply.think(String(memberOf(event, 'delta')))) this.#replyChanged()
        return
      case 'response.done':
        this.#done(event)
        return
      case 'error': {
        const error = errorFrom(0, event, { code: 'server_error', message: 'the server refused an event' })
        const refused = memberOf(memberOf(event, 'error'), 'event_id')
        if (refused === settingsId) this.#refuseSettings(error)
        else if (refused !== askId) this.#set({ error })
        // A response that failed on the way gets its `response.done`; one that was refused does not.
        else if (reply?.isCreated) reply.error = error
        else this.#end(error)
      }
    }
  }

  #revise(id: unknown, value: unknown): void {
    const event = provisionalOf(value)
    if (!event || typeof id !== 'string') return
    const reply = this.#running
    // Guesses at the next reply come with its id, and not before this one was created.
    if (reply && (reply.id ?? id) === id) {
      reply.id = id
      reply.text.revise(event)
    } else {
      this.#previewId = id
      this.#preview.revise({ ...event, text: this.#behindText(event.text, memberOf(value, 'input')) })
    }
  }

  /**
   * What a preview says behind the text now: some of it may have been typed while it was on its way.
   * @param input length of the text that it was for
   */
  #behindText(preview: string, input: unknown): string {
    if (typeof input !== 'number' || input === this.#text.length) return preview
    const typed = this.#text.slice(input)
    const isTyped = this.#settings.raw === true && input < this.#text.length && preview.startsWith(typed)
    return isTyped ? preview.slice(typed.length) : ''
  }

  #refuseSettings(error: ClientError): void {
    this.#refused = error
    this.#set({ error })
    if (!this.#running || this.#running.isCreated) return
    // It was asked for behind them, and would be made without them.
    this.#say('response.cancel', {})
    this.#end(error)
  }

  #done(event: unknown): void {
    const reply = this.#running
    if (!reply) return
    const response = memberOf(event, 'response')
    const status = memberOf(response, 'status')
    if (status === 'failed') {
      this.#end(reply.error ?? new ClientError(0, 'server_error', 'the reply failed'))
      return
    }
    const reason = memberOf(response, 'finish_reason')
    const done: ReplyDone = { type: 'done', finishReason: typeof reason === 'string' ? reason : null }
    if (status === 'cancelled') done.finishReason = 'cancelled'
    noteAccount(event, done)
    const toolCalls = callsIn(memberOf(response, 'output'))
    if (toolCalls.length > 0) done.toolCalls = toolCalls
    this.#running = undefined
    this.#keep(reply, done.toolCalls)
    if (this.#settings.seed === undefined || this.#settings.seed === null) {
      this.#seed = newSeed()
      // A greedy reply does not read it, and one that was begun for the next message may stand.
      if (this.#settings.temperature !== 0) this.#say('session.update', { session: { seed: this.#seed } })
    }
    reply.end(done)
  }

  /** What was said is part of the conversation. */
  #keep({ text: { committed } }: RunningReply, calls?: readonly ToolCall[]): void {
    if (this.#settings.raw === true || (committed === '' && !calls)) return
    const message = { role: 'assistant', content: committed, ...(calls && { tool_calls: calls }) }
    this.#messages = [...this.#messages, message]
  }

  /** Asked again, the model said something else (near ties may fall otherwise): what was shown is not taken back. */
  #replyChanged(): void {
    this.#say('response.cancel', {})
    this.#end(new ClientError(0, 'connection_lost', 'the connection was lost, and the reply could not be continued'))
  }

  #end(error: ClientError): void {
    const reply = this.#running
    if (!reply) return
    this.#running = undefined
    this.#keep(reply)
    reply.fail(error)
  }

  #set(change: Partial<Omit<RealtimeState, 'error'>> & { error?: ClientError | undefined }): void {
    const { error: former, ...state } = { ...this.#state, ...change }
    // What went wrong is over once there is a connection again.
    const error = change.status === 'open' ? undefined : former
    this.#state = { ...state, ...(error && { error }) }
    for (const listener of [...this.#listeners]) listener(this.#state)
  }
}

/** Name the events that ask for a reply and that change the settings, so that their refusal is known. */
const askId = 'reply'
const settingsId = 'settings'

function newSeed(): number {
  return Math.floor(Math.random() * seeds)
}

function count(event: unknown, name: string): number {
  const value = memberOf(event, name)
  return typeof value === 'number' ? value : 0
}

/** The calls of tools among the items of a response. */
function callsIn(items: unknown): ToolCall[] {
  if (!Array.isArray(items)) return []
  return items
    .filter((item) => memberOf(item, 'type') === 'function_call')
    .map((item) => ({
      id: String(memberOf(item, 'call_id')),
      type: 'function',
      function: { name: String(memberOf(item, 'name')), arguments: String(memberOf(item, 'arguments')) },
    }))
}
