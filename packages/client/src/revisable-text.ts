/** What a server says about the text after the committed offset `base`: the `provisional` object of the wire. */
export interface Provisional {
  /** Rises by one per event; an event that is not newer than all before it is dropped. */
  rev: number
  /** UTF-16 offset into the committed text. */
  base: number
  /** Everything after `base` now reads this; empty takes the former tail back. */
  text: string
  /** Calibrated probability (0..1) that the tail survives. */
  stability?: number
  /** Who guessed, for example `skim` or `exit`. */
  source?: string
}

/**
 * The receiving side of a revisable text: a committed beginning that only grows, then a tail that may still be
 * replaced. Feed it the events of one choice as they arrive and show `committed`, then `tail` (dimmed, say).
 *
 * Late and repeated provisional events do no harm: only the newest counts, and every newer one ends the tail before
 * it, even when its own text cannot be used.
 *
 * @example
 * const reply = new RevisableText()
 * for await (const event of streamChat(url, body)) {
 *   if (event.type === 'delta') reply.delta(event.text)
 *   if (event.type === 'provisional') reply.provisional(event)
 *   show(reply.committed, reply.tail)
 * }
 */
export class RevisableText {
  #committed = ''
  #tail = ''
  #rev = Number.NEGATIVE_INFINITY
  #stability: number | undefined
  #source: string | undefined

  /** Text that is never taken back. */
  get committed(): string {
    return this.#committed
  }

  /** Provisional text that follows `committed`; empty when there is none. */
  get tail(): string {
    return this.#tail
  }

  /** All that may be shown now. */
  get text(): string {
    return this.#committed + this.#tail
  }

  /** Stability of the tail as the server gave it; undefined without a tail. */
  get stability(): number | undefined {
    return this.#stability
  }

  /** Source of the tail as the server gave it; undefined without a tail. */
  get source(): string | undefined {
    return this.#source
  }

  /** More committed text. What it confirms leaves the tail; a tail that disagrees is dropped. */
  delta(text: string): void {
    this.#committed += text
    this.#follow(this.#tail.startsWith(text) ? this.#tail.slice(text.length) : '')
  }

  /**
   * A new tail. One that begins before the end of the committed text is shortened by what is committed since, if it
   * agrees with that. One that disagrees, or that begins after the end of the committed text (deltas are missing: what
   * lies between is not known), leaves no tail.
   */
  provisional(event: Provisional): void {
    const { rev, base, text, stability, source } = event
    if (!(rev > this.#rev)) return
    this.#rev = rev
    this.#stability = stability
    this.#source = source
    const known = base >= 0 && base <= this.#committed.length
    const since = known ? this.#committed.slice(base) : ''
    this.#follow(known && text.startsWith(since) ? text.slice(since.length) : '')
  }

  #follow(tail: string): void {
    this.#tail = tail
    if (tail !== '') return
    this.#stability = undefined
    this.#source = undefined
  }
}
