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

/** A revisable text at one moment. A new object for every change, so two of them are equal or differ by `===`. */
export interface RevisableValue {
  /** Text that is never taken back. */
  readonly committed: string
  /** What follows it for now; empty when there is none. */
  readonly provisional: string
  /** Stability and source of `provisional` as the server gave them; absent without it. */
  readonly stability?: number
  readonly source?: string
}

/** What changes a text: the events of `streamChat`, `streamCompletion` and of a socket's reply. */
export type TextEvent = { type: 'delta'; text: string } | ({ type: 'provisional' } & Provisional) | { type: 'done' }

const empty: RevisableValue = { committed: '', provisional: '' }

/**
 * The receiving side of a revisable text: a committed beginning that only grows, then a tail that may still be
 * replaced. Feed it the events of one choice as they arrive and show `committed`, then `provisional` (dimmed, say).
 *
 * Late and repeated provisional events do no harm: only the newest counts, and every newer one ends the tail before
 * it, even when its own text cannot be used.
 *
 * @example
 * const reply = new RevisableText()
 * reply.subscribe(({ committed, provisional }) => show(committed, provisional))
 * for await (const event of streamChat(url, body)) reply.apply(event)
 */
export class RevisableText {
  #value = empty
  #rev = Number.NEGATIVE_INFINITY
  readonly #listeners = new Set<(value: RevisableValue) => void>()

  /** The text now. */
  get value(): RevisableValue {
    return this.#value
  }

  /** Text that is never taken back. */
  get committed(): string {
    return this.#value.committed
  }

  /** Provisional text that follows `committed`; empty when there is none. */
  get provisional(): string {
    return this.#value.provisional
  }

  /** All that may be shown now. */
  toString(): string {
    return this.committed + this.provisional
  }

  /**
   * Calls `listener` with the value now, and after every change. Bound to the text, and by the contract of Svelte's
   * stores and React's `useSyncExternalStore` (with `() => text.value`).
   * @returns stops it
   */
  readonly subscribe = (listener: (value: RevisableValue) => void): (() => void) => {
    // The same function may be given twice, and each is stopped by itself.
    const own = (value: RevisableValue) => listener(value)
    this.#listeners.add(own)
    own(this.#value)
    return () => {
      this.#listeners.delete(own)
    }
  }

  /** Takes any event of a reply. Its end takes a provisional text back that nobody has confirmed. */
  apply(event: TextEvent): void {
    if (event.type === 'delta') this.commit(event.text)
    else if (event.type === 'provisional') this.revise(event)
    else this.#set(this.committed, '')
  }

  /** More committed text. What it confirms leaves the provisional text; one that disagrees is dropped. */
  commit(text: string): void {
    const { committed, provisional, stability, source } = this.#value
    const rest = provisional.startsWith(text) ? provisional.slice(text.length) : ''
    this.#set(committed + text, rest, stability, source)
  }

  /**
   * A new provisional text. One that begins before the end of the committed text is shortened by what is committed since,
   * if it agrees with that. One that disagrees, or that begins after the end of the committed text (deltas are missing:
   * what lies between is not known), leaves none.
   */
  revise(event: Provisional): void {
    const { rev, base, text, stability, source } = event
    if (!(rev > this.#rev)) return
    this.#rev = rev
    const { committed } = this
    const known = base >= 0 && base <= committed.length
    const since = known ? committed.slice(base) : ''
    this.#set(committed, known && text.startsWith(since) ? text.slice(since.length) : '', stability, source)
  }

  /** Another sender goes on, such as a server after a new connection: it counts revisions from the beginning. */
  restart(): void {
    this.#rev = Number.NEGATIVE_INFINITY
    this.#set(this.committed, '')
  }

  #set(committed: string, provisional: string, stability?: number, source?: string): void {
    const value: RevisableValue = {
      committed,
      provisional,
      ...(provisional !== '' && stability !== undefined && { stability }),
      ...(provisional !== '' && source !== undefined && { source }),
    }
    if (isSame(value, this.#value)) return
    this.#value = value
    for (const listener of [...this.#listeners]) listener(value)
  }
}

function isSame(a: RevisableValue, b: RevisableValue): boolean {
  return (
    a.committed === b.committed &&
    a.provisional === b.provisional &&
    a.stability === b.stability &&
    a.source === b.source
  )
}
