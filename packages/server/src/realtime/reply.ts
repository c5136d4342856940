import type { GenerateEvent, ProvisionalEvent } from '@incipit/engine/api'
import { type Account, provisionalOf, timingsOf, usageOf } from '../wire.ts'
import { newId, type Outbox } from './outbox.ts'

/** How a response ended, as its `status` says. `incomplete`: a bound on its length. */
export type Status = 'in_progress' | 'completed' | 'incomplete' | 'cancelled' | 'failed'

/**
 * One response as the client sees it, from the first guess at it, which may come while the input is still open, to
 * `response.done`. Its provisional events are numbered here: those of the open input and those of the reply are one
 * revisable text.
 */
export class Reply {
  readonly id = newId('resp')
  /** Committed text so far. */
  text = ''
  readonly #outbox: Outbox
  #rev = 0
  #lossy = false
  /** What was shown before the response was created. */
  #preview = ''
  /** The last guess while the client could not take more. */
  #held: ProvisionalEvent | undefined

  constructor(outbox: Outbox) {
    this.#outbox = outbox
  }

  /**
   * Shows a reply that was begun before the input was final. Every event says all of it, so to a client that reads
   * slowly only the last one is sent.
   */
  preview(event: ProvisionalEvent): void {
    if (this.#held === undefined && this.#outbox.full) {
      void this.#outbox.drained().then(() => {
        const held = this.#held
        this.#held = undefined
        if (held) this.#show(held)
      })
    }
    this.#preview = event.text
    if (this.#outbox.full) this.#held = event
    else this.#show(event)
  }

  /** @param lossy its text may differ from the full model's, because somebody asked for that */
  created(lossy: boolean): void {
    this.#lossy = lossy
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
    for await (const event of events) {
      if (event.type === 'delta') {
        this.text += event.text
        this.#outbox.send('response.output_text.delta', { response_id: this.id, delta: event.text })
      } else if (event.type === 'provisional') {
        // The guesses of a reply begun ahead are older than what it has shown since.
        if (this.text.length >= this.#preview.length) this.#show(event)
      } else if (event.type === 'done') {
        const status = statusOf(event.finishReason)
        ended(status)
        this.done(status, status === 'completed' ? 'stop' : status === 'incomplete' ? 'length' : null, event)
        return
      }
      await this.#outbox.drained()
    }
    throw new Error('the generation ended without a done event')
  }

  /** The end, also of a response that failed and has no account. */
  done(status: Status, finishReason: 'stop' | 'length' | null, account?: Account): void {
    const head = { response_id: this.id }
    this.#outbox.send('response.output_text.done', { ...head, text: this.text })
    this.#outbox.send('response.done', {
      ...head,
      response: { ...this.#card(status), finish_reason: finishReason },
      usage: account ? usageOf([account], 1) : null,
      timings: account ? timingsOf([account]) : null,
      ...(this.#lossy ? { lossy: true } : {}),
    })
  }

  #show(event: ProvisionalEvent): void {
    this.#outbox.send('response.output_text.provisional', {
      response_id: this.id,
      provisional: { index: 0, ...provisionalOf(event), rev: ++this.#rev },
    })
  }

  #card(status: Status) {
    return { id: this.id, object: 'realtime.response', status }
  }
}

function statusOf(reason: 'stop' | 'length' | 'context' | 'cancelled'): Status {
  if (reason === 'stop') return 'completed'
  return reason === 'cancelled' ? 'cancelled' : 'incomplete'
}
