// A pause means something once it is clearly longer than the usual time between two changes.
const pauseFactor = 2.5
const minPauseMs = 60
// A wrong guess costs idle time only, and a writer who is done waits: never be more patient than this.
const maxPauseMs = 300
// Before anything is known of a writer: a quick typist.
const firstGapMs = 120
const memory = 8
// Gaps longer than this are pauses themselves and say nothing about the rhythm.
const maxGapMs = 1000

/**
 * When somebody seems to have stopped writing: a pause longer than their rhythm explains. Guesses that turned out wrong
 * (they went on) make it more patient, right ones less.
 */
export class PauseDetector {
  #gap = firstGapMs
  #patience = 1
  #last: number | undefined

  /** The text changed at this time (ms). */
  changed(now: number): void {
    if (this.#last !== undefined && now - this.#last < maxGapMs) this.#gap += (now - this.#last - this.#gap) / memory
    this.#last = now
  }

  /** A reply that was begun ahead was used, or thrown away. */
  learnt(used: boolean): void {
    this.#patience = used ? Math.max(0.5, this.#patience / 1.5) : Math.min(2, this.#patience * 1.5)
  }

  /** How long after the last change the writer has stopped, in milliseconds. A finished sentence needs less. */
  pauseMs(text: string): number {
    const ended = /[.!?…。？！\n]\s*$/u.test(text) ? 0.5 : 1
    return Math.min(maxPauseMs, Math.max(minPauseMs, this.#gap * pauseFactor * this.#patience * ended))
  }
}
