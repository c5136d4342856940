import { type ClientError, openRealtime, type Realtime, type RealtimeReply, type RevisableValue } from '@incipit/client'
import { batch, effect, signal } from '@preact/signals'
import { connect } from '../api/engine.ts'
import { withModel } from '../api/models.ts'
import { apiKey } from '../settings.ts'
import { announce } from '../ui/announcer.tsx'
import { type Conversation, conversations, keep, messagesOf, type Turn } from './conversations.ts'
import { chatSession } from './reply-form.ts'
import { tokensOf } from './reply-tokens.ts'

const nothing: RevisableValue = { committed: '', provisional: '' }
/** Records of the engine come this much later than the reply's end, at most. */
const recordsMs = 250

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
  /** What the model thinks before the reply that is made. */
  readonly reasoning = signal('')
  /** What the reply will begin with, if the open message stays as it is. */
  readonly preview = signal<RevisableValue>(nothing)
  readonly #realtime: Realtime
  #running: RealtimeReply | undefined
  #stopPreview = () => {}
  /** Since when the preview has begun with what it begins with now. */
  #previewSince: { readonly word: string; readonly at: number } | undefined
  readonly #stopSettings: () => void

  constructor(conversation: Conversation, place: string) {
    this.id = conversation.id
    this.place = place
    const key = apiKey.peek()
    this.#realtime = openRealtime(withModel('/v1/realtime'), {
      session: chatSession.peek(),
      messages: messagesOf(conversation.turns),
      ...(key !== '' && { apiKey: key }),
    })
    this.#realtime.subscribe(({ status, progress, error }) =>
      batch(() => {
        // The engine may be another one now. One that is only left alone is not asked: that would use it.
        if (status === 'connecting' && this.status.peek() === 'open') void connect()
        this.status.value = status
        this.progress.value = progress
        this.error.value = error
      }),
    )
    this.#followPreview()
    let first = true
    this.#stopSettings = effect(() => {
      const now = chatSession.value
      if (!first) this.#realtime.update(now)
      first = false
    })
  }

  get running(): boolean {
    return this.#running !== undefined
  }

  /** The open message. */
  get text(): string {
    return this.#realtime.text
  }

  replace(base: number, text: string): void {
    this.#realtime.replace(base, text)
    this.hasText.value = this.text.trim() !== ''
  }

  /** Whether a reply can be asked for. Why not is said by `reply` or `error`. */
  get isReady(): boolean {
    return !this.#running && !this.#realtime.refused
  }

  /** The open message is final: it becomes a turn, and is answered. */
  async send(): Promise<void> {
    if (!this.isReady || this.text.trim() === '') return
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
    if (!this.isReady) return
    const draft = this.text
    // It is an answer to something else.
    this.#previewSince = undefined
    const last = turns.at(-1)
    const typed = last?.role === 'user'
    this.#realtime.setMessages(messagesOf(typed ? turns.slice(0, -1) : turns))
    this.#realtime.revise(typed ? last.content : '')
    await this.#answer(turns, draft)
  }

  async #answer(turns: Turn[], draft = ''): Promise<void> {
    const enter = performance.now()
    const stood = this.#previewSince
    keep(this.id, { turns })
    this.#stopPreview()
    // After a result, it is to be used.
    const reply = this.#realtime.send(turns.at(-1)?.role === 'tool' ? { tool_choice: 'auto' } : undefined)
    if (draft !== '') this.#realtime.append(draft)
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
    const stopReasoning = reply.reasoning.subscribe(({ committed }) => {
      this.reasoning.value = committed
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
    stopReasoning()
    announce(reply.text.committed, announced, true)
    turn.content = reply.text.committed
    if (reply.reasoning.committed !== '') turn.reasoning = reply.reasoning.committed
    const early = stood !== undefined && turn.content.trimStart().startsWith(stood.word)
    if (early) turn.firstMs = stood.at - enter
    else if (firstAt !== undefined) turn.firstMs = firstAt - enter
    batch(() => {
      this.#running = undefined
      this.reply.value = undefined
      this.reasoning.value = ''
      const problem = turn.content === '' && !turn.calls ? nothingSaid(turn) : undefined
      if (problem !== undefined) turn.error ??= problem
      if (turn.content !== '' || turn.error !== undefined || turn.calls) keep(this.id, { turns: [...turns, turn] })
    })
    // A call that nobody answers has no place in what follows.
    if (turn.calls) this.#realtime.setMessages(messagesOf(this.#turns))
    await new Promise((resolve) => setTimeout(resolve, recordsMs))
    const tokens = tokensOf(turn.content, turn.calls)
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
