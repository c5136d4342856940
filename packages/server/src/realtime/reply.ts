import type { DoneEvent, GenerateEvent, ProvisionalEvent } from '@incipit/engine/api'
import type { Item } from '../items/item.ts'
import { Output, type OutputEvent } from '../items/output.ts'
import { newId } from '../new-id.ts'
import { beginningContent, type ReplyEnd, type ReplyEvent, readReply } from '../reply/read-reply.ts'
import type { ReplyShape } from '../reply/reply-shape.ts'
import type { Outbox } from '../socket/outbox.ts'
import { provisionalOf, timingsOf, usageOf, type WireProvisional } from '../wire.ts'
import { WireEvents, wireItem } from './wire-item.ts'

/** How a response ended, as its `status` says. `incomplete`: a bound on its length. */
export type Status = 'in_progress' | 'completed' | 'incomplete' | 'cancelled' | 'failed'

/** How a response is told. */
export interface ReplyOptions {
  readonly shape: ReplyShape
  /** Its text may differ from the full model's, because somebody asked for that. */
  readonly lossy: boolean
  /** What the client said of it and gets back. */
  readonly metadata: Readonly<Record<string, string>> | null
}

type Done = Extract<ReplyEvent, { readonly type: 'done' }>

/**
 * One response as the client sees it, from the first guess at it, which may come while the input is still open, to
 * `response.done`. Its provisional events are numbered here: those of the open input and those of the reply are one
 * revisable text.
 */
export class Reply {
  readonly id = newId('resp')
  readonly #outbox: Outbox
  readonly #output = new Output({ summary: false, carry: false })
  readonly #wire = new WireEvents()
  #options: ReplyOptions = { shape: {}, lossy: false, metadata: null }
  /** Committed text so far. */
  #text = ''
  #rev = 0
  /** What was shown before the response was created. */
  #preview = ''
  /** The last guess while the client could not take more. */
  #held: (WireProvisional & { input: number }) | undefined

  constructor(outbox: Outbox) {
    this.#outbox = outbox
  }

  /** What was said so far, in whole items: a call that was cut off is none. */
  get items(): readonly Item[] {
    return this.#output.items
  }

  /**
   * Shows a reply that was begun before the input was final. Every event says all of it, so to a client that reads
   * slowly only the last one is sent.
   *
   * @param input length of the open text that it answers, in UTF-16 units
   */
  preview(event: ProvisionalEvent, shape: ReplyShape, input: number): void {
    const text = beginningContent(event.text, shape)
    if (text === '' && this.#preview === '') return
    if (this.#held === undefined && this.#outbox.full) {
      void this.#outbox.drained().then(() => {
        const held = this.#held
        this.#held = undefined
        if (held) this.#show(held)
      })
    }
    this.#preview = text
    const shown = { ...provisionalOf(event), text, tokens: text === '' ? 0 : event.tokens, input }
    if (this.#outbox.full) this.#held = shown
    else this.#show(shown)
  }

  created(options: ReplyOptions): void {
    this.#options = options
    this.#held = undefined
    this.#outbox.send('response.created', { response_id: this.id, response: this.#card('in_progress') })
  }

  /**
   * Tells the events of a generation at the pace of the reader.
   *
   * @param ended called before `response.done`, so that its reader finds the conversation ready for the next turn
   * @throws what the generation throws
   */
  async tell(events: AsyncIterable<GenerateEvent>, ended: (status: Status) => void): Promise<void> {
    for await (const event of readReply(events, this.#options.shape)) {
      if (event.type === 'part') {
        if (event.part.type === 'content') this.#text += event.part.text
        this.#take(this.#output.take(event.part))
      } else if (event.type === 'provisional') {
        // The guesses of a reply begun ahead are older than what it has shown since.
        if (this.#text.length >= this.#preview.length) this.#show(event.provisional)
      } else if (event.type === 'done') {
        const status = statusOf(event.end)
        this.#close(status)
        ended(status)
        this.#done(status, event)
        return
      }
      await this.#outbox.drained()
    }
    throw new Error('the generation ended without a done event')
  }

  /** The end of a response that failed and has no account. */
  failed({ type, code }: { readonly type: string; readonly code: string }): void {
    this.#close('failed')
    this.#done('failed', undefined, { type: 'failed', error: { type, code } })
  }

  /** A response that says nothing says so in a message. */
  #close(status: Status): void {
    this.#take(this.#output.close(status === 'completed' ? 'completed' : 'incomplete'))
    if (this.#output.items.length > 0) return
    this.#take(this.#output.take({ type: 'content', text: '' }))
    this.#take(this.#output.close(status === 'completed' ? 'completed' : 'incomplete'))
  }

  #take(events: Iterable<OutputEvent>): void {
    for (const event of events) {
      const { type, fields } = this.#wire.spelled(event)
      this.#outbox.send(type, { response_id: this.id, ...fields })
    }
  }

  #done(status: Status, done: Done | undefined, details: object | null = detailsOf(status)): void {
    const { lossy } = this.#options
    this.#outbox.send('response.done', {
      response_id: this.id,
      response: this.#card(status, {
        finish_reason: done && done.end !== 'cancelled' ? done.end : null,
        status_details: details,
        output: this.items.map(wireItem),
        usage: done ? responseUsage(done.event) : null,
      }),
      usage: done ? usageOf([done.account], 1) : null,
      timings: done ? timingsOf([done.account]) : null,
      ...(lossy ? { lossy: true } : {}),
    })
  }

  #show(event: WireProvisional): void {
    this.#outbox.send('response.output_text.provisional', {
      response_id: this.id,
      provisional: { index: 0, ...event, rev: ++this.#rev },
    })
  }

  #card(status: Status, end: object = { status_details: null, output: [], usage: null }): object {
    const { metadata } = this.#options
    return { id: this.id, object: 'realtime.response', status, output_modalities: ['text'], metadata, ...end }
  }
}

function statusOf(end: ReplyEnd): Status {
  if (end === 'cancelled') return 'cancelled'
  return end === 'length' ? 'incomplete' : 'completed'
}

/** Why a response is not complete, as OpenAI says it. */
function detailsOf(status: Status): object | null {
  if (status === 'incomplete') return { type: status, reason: 'max_output_tokens' }
  return status === 'cancelled' ? { type: status, reason: 'client_cancelled' } : null
}

/** OpenAI's names of the same counts. */
function responseUsage({ usage }: DoneEvent): object {
  const { promptTokens, completionTokens, cachedTokens } = usage
  return {
    total_tokens: promptTokens + completionTokens,
    input_tokens: promptTokens,
    output_tokens: completionTokens,
    input_token_details: { text_tokens: promptTokens, audio_tokens: 0, cached_tokens: cachedTokens },
    output_token_details: { text_tokens: completionTokens, audio_tokens: 0 },
  }
}
