/** Of the first words that are shown without a bound of the client's, this share survives. */
export const promisedSurvival = 0.9
const first = 0.8
const least = 0.7
const most = 0.97
const step = 0.03

/**
 * From which stability on a first word is shown, so that nine in ten of what is shown survive: on average, and not each. A
 * bound of 0.9 on each would hold back a third of what could be shown, most of which is far surer. The bound rises with
 * every guess that was taken back and falls with every one that stayed, nine times as slowly.
 */
export class ShownBound {
  #value = first

  /** @param saved an earlier `value`; anything else is ignored */
  constructor(saved?: unknown) {
    if (typeof saved === 'number' && saved >= least && saved <= most) this.#value = saved
  }

  get value(): number {
    return this.#value
  }

  /** What was shown has survived, or was taken back. */
  observe(survived: boolean): void {
    const change = survived ? promisedSurvival - 1 : promisedSurvival
    this.#value = Math.min(most, Math.max(least, this.#value + step * change))
  }
}
