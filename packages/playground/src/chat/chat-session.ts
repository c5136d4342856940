import { type ClientError, openRealtime, type Realtime, type RealtimeReply, type RevisableValue } from '@incipit/client'
import { batch, effect, signal } from '@preact/signals'
import { connect } from '../api/engine.ts'
import { withModel } from '../api/models.ts'
import { apiKey, session } from '../settings.ts'
import { announce } from '../ui/announcer.tsx'
import { type Conversation, conversations, keep, messagesOf, type Turn } from './conversations.ts'
import { askFormed } from './formed-reply.ts'
import { replyForm } from './reply-form.ts'
import { tokensOf } from './reply-tokens.ts'

const nothing: RevisableValue = { committed: '', provisional: '' }
/** Records of the engine come this much later than the reply's end, at most. */
const recordsMs = 150

/** One conversation's connection: what is typed goes out, what is said comes in. */
export class ChatSession {
  readonly id: string
  /** Where it is connected, and as whom. */
  readonly place: string
  readonly status = signal<'connecting' | 'open' | 'idle' | 'closed'>('connecting')
  readonly error = signal<ClientError | undefined>(undefined)
  readonly progress = signal({ tokens: 0, computed: 0 })
  /** Whether something is typed. */
  readonly hasText = signal(false)
  /** The reply that is made, or undefined. */
  readonly reply = signal<RevisableValue | undefined>(undefined)
  /** What the reply will begin with, if the open message stays as it is. */
  readonly preview = signal<RevisableValue>(nothing)
  readonly #realtime: Realtime
  #running: RealtimeReply | undefined
  /** The open message was sent over HTTP, and the connection has it still: what was read of it is used there. */
  #isTaken = false
  #stopPreview = () => {}
  /** Since when the preview has begun with what it begins with now. */
  #previewSince: { readonly word: string; readonly at: number } | undefined
  readonly #stopSettings: () => void

  constructor(conversation: Conversation, place: string) {
    this.id = conversation.id
    this.place = place
    const key = apiKey.peek()
    this.#realtime = openRealtime(withModel('/v1/realtime'), {
      session: session.peek(),
      messages: messagesOf(conversation.turns),
      ...(key !== '' && { apiKey: key }),
    })
    this.#realtime.subscribe(({ status, progress, error }) =>
      batch(() => {
        // The engine may be another one now.
        if (status !== 'open' && this.status.peek() === 'open') void connect()
        this.status.value = status
        this.progress.value = progress
        this.error.value = error
      }),
    )
    this.#followPreview()
    let first = true
    this.#stopSettings = effect(() => {
      const now = session.value
      if (!first) this.#realtime.update(now)
      first = false
    })
  }

  get running(): boolean {
    return this.#running !== undefined
  }

  /** The open message. */
  get text(): string {
    return this.#isTaken ? '' : this.#realtime.text
  }

  replace(base: number, text: string): void {
    this.#isTaken = false
    this.#realtime.replace(base, text)
    this.hasText.value = this.text.trim() !== ''
  }

  /** The open message is final: it becomes a turn, and is answered. */
  async send(): Promise<void> {
    if (this.#running || this.text.trim() === '') return
    const turn: Turn = { role: 'user', content: this.text }
    await this.#answer([...this.#turns, turn])
  }

  /** Answers an earlier turn with another text; what came after it is gone. */
  resend(index: number, content: string): Promise<void> {
    return this.#goOn([...this.#turns.slice(0, index), { role: 'user', content }])
  }

  /** Makes the reply at a place again; what came after it is gone. */
  again(index: number): Promise<void> {
    return this.#goOn(this.#turns.slice(0, index))
  }

  /** Gives the results of the calls of a reply, in their order. */
  giveResults(index: number, results: readonly string[]): Promise<void> {
    const turns = this.#turns.slice(0, index + 1)
    const calls = turns[index]?.calls ?? []
    return this.#goOn([...turns, ...calls.map((call, i): Turn => ({ role: 'tool', content: results[i] ?? '', call }))])
  }

  stop(): void {
    this.#running?.cancel()
  }

  close(): void {
    this.#stopPreview()
    this.#stopSettings()
    this.#realtime.close()
  }

  get #turns(): Turn[] {
    return conversations.peek().find(({ id }) => id === this.id)?.turns ?? []
  }

  /** Answers turns that are not those that the connection has. What is typed stays. */
  async #goOn(turns: Turn[]): Promise<void> {
    if (this.#running) return
    const draft = this.text
    if (!replyForm.peek()) {
      const last = turns.at(-1)
      const typed = last?.role === 'user'
      this.#realtime.setMessages(messagesOf(typed ? turns.slice(0, -1) : turns))
      this.#realtime.revise(typed ? last.content : '')
    }
    await this.#answer(turns, draft)
  }

  /** Asks for the reply to these turns, of which the last may be the open message. */
  #ask(turns: Turn[], draft: string): RealtimeReply {
    const form = replyForm.peek()
    if (!form) {
      const reply = this.#realtime.send()
      if (draft !== '') this.#realtime.append(draft)
      return reply
    }
    const reply = askFormed(messagesOf(turns), form)
    this.#isTaken = draft === ''
    void reply.begun.then(() => {
      if (this.#isTaken) this.replace(0, '')
    })
    return reply
  }

  async #answer(turns: Turn[], draft = ''): Promise<void> {
    const enter = performance.now()
    const formed = replyForm.peek() !== undefined
    const stood = formed ? undefined : this.#previewSince
    keep(this.id, { turns })
    this.#stopPreview()
    const reply = this.#ask(turns, draft)
    this.hasText.value = draft.trim() !== ''
    this.#running = reply
    let firstAt: number | undefined
    let announced = 0
    const stop = reply.text.subscribe((value) => {
      this.reply.value = value
      // The first word that stays: each retraction starts the clock anew.
      if (value.committed + value.provisional === '') firstAt = undefined
      else firstAt ??= performance.now()
      announced = announce(value.committed, announced)
    })
    this.#followPreview()
    const turn: Turn = { role: 'assistant', content: '' }
    try {
      const { finishReason, timings, usage, lossy, toolCalls: calls } = await reply.done
      Object.assign(turn, { ended: finishReason, timings, usage, lossy, calls })
    } catch (error) {
      turn.error = (error as ClientError).message
    }
    stop()
    announce(reply.text.committed, announced, true)
    turn.content = reply.text.committed
    const early = stood !== undefined && turn.content.trimStart().startsWith(stood.word)
    if (early) turn.firstMs = stood.at - enter
    else if (firstAt !== undefined) turn.firstMs = firstAt - enter
    batch(() => {
      this.#running = undefined
      this.reply.value = undefined
      const problem = turn.content === '' && !turn.calls ? nothingSaid(turn) : undefined
      if (problem !== undefined) turn.error ??= problem
      if (turn.content !== '' || turn.error !== undefined || turn.calls) keep(this.id, { turns: [...turns, turn] })
    })
    // What was said over HTTP this connection does not know.
    if (formed) this.#realtime.setMessages(messagesOf(this.#turns))
    await new Promise((resolve) => setTimeout(resolve, recordsMs))
    const tokens = tokensOf(turn.content)
    const now = this.#turns
    if (tokens && now.at(-1)?.content === turn.content)
      keep(this.id, { turns: [...now.slice(0, -1), { ...turn, tokens }] })
  }

  #followPreview(): void {
    this.#stopPreview = this.#realtime.preview.subscribe((value) => {
      this.preview.value = value
      const word = /^\s*(\S+)/.exec(value.provisional)?.[1]
      if (word === undefined) this.#previewSince = undefined
      else if (this.#previewSince?.word !== word) this.#previewSince = { word, at: performance.now() }
    })
  }
}

/** Why a reply is empty; of one that was stopped nothing need be said. */
function nothingSaid({ ended }: Turn): string | undefined {
  if (ended === 'cancelled') return undefined
  return ended === 'length' ? 'The reply was cut off before it said anything.' : 'The model said nothing.'
}

const sessions = new Map<string, ChatSession>()

/** The session of a conversation. Others are closed, unless a reply is being made there. */
export function sessionOf(conversation: Conversation): ChatSession {
  const place = `${withModel('')} ${apiKey.value}`
  for (const [id, other] of sessions) {
    if (other.place === place && (id === conversation.id || other.running)) continue
    other.close()
    sessions.delete(id)
  }
  const known = sessions.get(conversation.id)
  if (known && known.status.peek() !== 'closed') return known
  const fresh = new ChatSession(conversation, place)
  sessions.set(conversation.id, fresh)
  return fresh
}
