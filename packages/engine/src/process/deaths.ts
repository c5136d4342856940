const most = 3
const windowMs = 60_000

/**
 * The deaths of engines that something in flight has lived through. What is there whenever an engine dies may be what kills
 * it: at the third death within a minute it goes on no more, so that everything else does.
 */
export class Deaths {
  #at: number[] = []

  /**
   * An engine died.
   * @param now milliseconds
   * @returns whether that was once too often
   */
  another(now: number): boolean {
    this.#at = [...this.#at.filter((death) => now - death < windowMs), now]
    return this.#at.length >= most
  }
}
