import type { Flight } from './flight.ts'
import { type Core, commonPrefix } from './flow/core.ts'
import type { Sequence } from './flow/sequence.ts'
import type { OpenText } from './open-text.ts'

// Sharing fewer rows than this with another text is not worth a copy.
const leastShared = 8
// Slots that are left to requests: each may want a second one for a look.
const spareSlots = 2

/**
 * The texts that are computed ahead. They use what requests leave of the cache; the least recently used one goes first
 * when a request needs its place, and is computed again when it changes next.
 */
export class OpenTexts {
  readonly #core: Core
  readonly #texts = new Set<OpenText>()
  #uses = 0

  constructor(core: Core) {
    this.#core = core
  }

  /** KV cells they hold. */
  get cells(): number {
    let cells = 0
    for (const { sequence } of this.#texts) cells += sequence?.tokens.length ?? 0
    return cells
  }

  /** Takes a text in, or takes note of a change of it. */
  follow(text: OpenText): void {
    this.#texts.add(text)
    text.used = ++this.#uses
    text.changed = true
  }

  /** Lets a text go. */
  forget(text: OpenText): void {
    this.#texts.delete(text)
    this.evict(text)
  }

  clear(): void {
    for (const text of [...this.#texts]) this.forget(text)
  }

  /** Frees a text's rows. */
  evict(text: OpenText): void {
    if (text.transient) this.#texts.delete(text)
    if (text.sequence) this.#core.remove(text.sequence)
    text.sequence = undefined
  }

  /** Frees the rows of the least recently used text but `except`. False when there is none. */
  evictOldest(except: OpenText | undefined): boolean {
    let oldest: OpenText | undefined
    for (const text of this.#texts) {
      if (text.sequence === undefined || text === except) continue
      if (oldest === undefined || text.used < oldest.used) oldest = text
    }
    if (oldest) this.evict(oldest)
    return oldest !== undefined
  }

  /** The text a sequence belongs to. */
  of(sequence: Sequence): OpenText | undefined {
    for (const text of this.#texts) if (text.sequence === sequence) return text
    return undefined
  }

  /** A reply to this text is over: the text goes on from its rows, unless it was forgotten meanwhile. */
  takeOver(text: OpenText, sequence: Sequence): boolean {
    if (!text.transient && !this.#texts.has(text)) return false
    this.evict(text)
    this.#texts.add(text)
    this.#core.reopen(sequence)
    text.sequence = sequence
    text.used = ++this.#uses
    return true
  }

  /** The sequence that has most of a request's prompt computed, within its namespace. */
  shared(flight: Flight): Sequence | undefined {
    let best: OpenText | undefined
    let most = leastShared - 1
    for (const text of this.#texts) {
      const { sequence } = text
      if (sequence === undefined || text.salt !== flight.salt) continue
      const shared = Math.min(commonPrefix(sequence.tokens, flight.prompt), sequence.computed.at(-1)!)
      if (shared <= most) continue
      most = shared
      best = text
    }
    if (best) best.used = ++this.#uses
    return best?.sequence
  }

  /**
   * Lets the sequences follow their texts.
   * @param free KV cells that no request holds
   * @param longest tokens of a context
   */
  revise(free: number, longest: number): void {
    for (const text of this.#texts) {
      if (!text.changed) continue
      const room = Math.min(longest, free - this.cells + (text.sequence?.tokens.length ?? 0))
      if (text.sequence === undefined && (this.#core.freeSlots <= spareSlots || room < leastShared)) continue
      text.sequence ??= this.#core.open()
      if (text.sequence === undefined) continue
      text.changed = false
      text.tokens = wantedTokens(text)
      this.#core.revise(text.sequence, text.tokens.slice(0, Math.max(0, room)))
    }
  }
}

/** A text that cannot be tokenised (its template refuses it) is not computed ahead; the request itself will say why. */
function wantedTokens(text: OpenText): readonly number[] {
  try {
    return text.wanted()
  } catch {
    return []
  }
}
