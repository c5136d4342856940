import { type ClientError, openRealtime, type Realtime, type RealtimeReply, type RevisableValue } from '@incipit/client'
import { batch, effect, signal } from '@preact/signals'
import { connect } from '../api/engine.ts'
import { session } from '../settings.ts'
import { announce } from '../ui/announcer.tsx'
import { type Conversation, conversations, keep, type Turn } from './conversations.ts'
import { tokensOf } from './reply-tokens.ts'

const nothing: RevisableValue = { committed: '', provisional: '' }
/** Records of the engine come this much later than the reply's end, at most. */
const recordsMs = 150

/** One conversation's connection: what is typed goes out, what is said comes in. */
export class ChatSession {
  readonly id: string
  readonly apiKey: string
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
  #stopPreview = () => {}
  /** Since when the preview has begun with what it begins with now. */
  #previewSince: { readonly word: string; readonly at: number } | undefined
  readonly #stopSettings: () => void

  constructor(conversation: Conversation, apiKey: string) {
    this.id = conversation.id
    this.apiKey = apiKey
    this.#realtime = openRealtime('/v1/realtime', {
      session: session.peek(),
      messages: messagesOf(conversation.turns),
      ...(apiKey !== '' && { apiKey }),
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

  get text(): string {
    return this.#realtime.text
  }

  replace(base: number, text: string): void {
    this.#realtime.replace(base, text)
    this.hasText.value = this.text.trim() !== ''
  }

  /** The open message is final: it becomes a turn, and is answered. */
  async send(): Promise<void> {
    if (this.#running || this.text.trim() === '') return
    const turn: Turn = { role: 'user', content: this.text }
    await this.#answer([...this.#turns, turn])
  }

  /** Answers an earlier turn again, perhaps with another text; what came after it is gone. */
  async resend(index: number, content: string): Promise<void> {
    if (this.#running) return
    const before = this.#turns.slice(0, index)
    const draft = this.text
    this.#realtime.setMessages(messagesOf(before))
    this.#realtime.revise(content)
    await this.#answer([...before, { role: 'user', content }], draft)
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

  async #answer(turns: Turn[], draft = ''): Promise<void> {
    const enter = performance.now()
    const stood = this.#previewSince
    keep(this.id, { turns })
    this.#stopPreview()
    const reply = this.#realtime.send()
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
    this.#followPreview()
    const turn: Turn = { role: 'assistant', content: '' }
    try {
      const { finishReason, timings, usage, lossy } = await reply.done
      Object.assign(turn, { ended: finishReason, timings, usage, lossy })
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
      if (turn.content !== '' || turn.error !== undefined) keep(this.id, { turns: [...turns, turn] })
    })
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

function messagesOf(turns: readonly Turn[]): { role: string; content: string }[] {
  return turns.filter(({ content }) => content !== '').map(({ role, content }) => ({ role, content }))
}

const sessions = new Map<string, ChatSession>()

/** The session of a conversation. Others are closed, unless a reply is being made there. */
export function sessionOf(conversation: Conversation, apiKey: string): ChatSession {
  for (const [id, other] of sessions) {
    if (other.apiKey === apiKey && (id === conversation.id || other.running)) continue
    other.close()
    sessions.delete(id)
  }
  const known = sessions.get(conversation.id)
  if (known && known.status.peek() !== 'closed') return known
  const fresh = new ChatSession(conversation, apiKey)
  sessions.set(conversation.id, fresh)
  return fresh
}
