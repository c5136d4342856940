/** What takes part: an engine in a process of its own, with compute threads of its own. */
interface Sharer {
  limitThreads(most: number): void
}

/**
 * Divides the machine's cores among the engines that compute just now. Compute threads of llama.cpp wait for each other by
 * spinning after every operation: with more of them than cores, those that have one burn it while they wait for those that
 * have none. An engine alone has all cores.
 */
export class ThreadShare {
  readonly #cores: number
  /** Of each what it was told last. */
  readonly #told = new Map<Sharer, number>()
  readonly #computing = new Set<Sharer>()

  constructor(cores: number) {
    this.#cores = cores
  }

  add(sharer: Sharer): void {
    this.#told.set(sharer, this.#cores)
    this.#divide()
  }

  remove(sharer: Sharer): void {
    this.#told.delete(sharer)
    this.#computing.delete(sharer)
    this.#divide()
  }

  set(sharer: Sharer, computing: boolean): void {
    if (!this.#told.has(sharer)) return
    if (computing) this.#computing.add(sharer)
    else this.#computing.delete(sharer)
    this.#divide()
  }

  #divide(): void {
    const among = this.#computing.size
    for (const [sharer, told] of this.#told) {
      // Who rests has what he would have if he began now: then his first step is right.
      const most = this.#part(this.#computing.has(sharer) ? among : among + 1)
      if (most === told) continue
      this.#told.set(sharer, most)
      sharer.limitThreads(most)
    }
  }

  #part(among: number): number {
    return Math.max(1, Math.floor(this.#cores / among))
  }
}
