import { IncipitError } from '../api/errors.ts'

/**
 * Ends a text before the first of some stop strings. Text that may turn out to be the beginning of a stop string is
 * held back until that is decided; what is released is never taken back. The result does not depend on how the text
 * was divided into pushes: the stop string that is complete first wins, and of those that are complete at the same
 * character the longest.
 */
export class StopScanner {
  readonly #stops: readonly string[]
  // The longest end of the text so far that is a proper prefix of a stop string.
  #held = ''
  #stopped: string | undefined

  /** @throws IncipitError `invalid_request` for a stop string that is empty or ends inside a surrogate pair */
  constructor(stops: readonly string[]) {
    for (const stop of stops) {
      // A lone surrogate would let the text be cut inside a character.
      if (stop === '' || !stop.isWellFormed()) {
        throw new IncipitError('invalid_request', 'stop: a stop string must be non-empty, well-formed text', {
          param: 'stop',
        })
      }
    }
    this.#stops = [...stops]
  }

  /**
   * Adds text. `text` is what is released by it; `stopped` is the stop string that has ended the text, from then on
   * for every push (with nothing released any more).
   */
  push(text: string): { text: string; stopped?: string } {
    if (this.#stopped !== undefined) return { text: '', stopped: this.#stopped }
    const all = this.#held + text
    const match = this.#find(all)
    if (match !== undefined) {
      this.#stopped = match.stop
      this.#held = ''
      return { text: all.slice(0, match.start), stopped: match.stop }
    }
    const released = all.length - this.#undecided(all)
    this.#held = all.slice(released)
    return { text: all.slice(0, released) }
  }

  /** The text is over: releases what was held back. */
  flush(): string {
    const text = this.#held
    this.#held = ''
    return text
  }

  /**
   * What may be shown after the released text if `text` were pushed next: what is held back, then `text`, cut before a
   * stop string and without an end that may become one. The state stays.
   */
  clip(text: string): string {
    if (this.#stopped !== undefined) return ''
    const all = this.#held + text
    return all.slice(0, this.#find(all)?.start ?? all.length - this.#undecided(all))
  }

  #find(text: string): { stop: string; start: number } | undefined {
    let found: { stop: string; start: number } | undefined
    let foundEnd = Number.POSITIVE_INFINITY
    for (const stop of this.#stops) {
      const start = text.indexOf(stop)
      if (start < 0) continue
      const end = start + stop.length
      if (found === undefined || end < foundEnd || (end === foundEnd && start < found.start)) {
        found = { stop, start }
        foundEnd = end
      }
    }
    return found
  }

  /** Length of the longest end of `text` that is a proper prefix of a stop string. */
  #undecided(text: string): number {
    let longest = 0
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length
      }
    }
    return longest
  }
}
