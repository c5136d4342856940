import { CostModel } from '../core/cost/cost-model.ts'

// A step on all threads is disturbed when it takes far longer than it would on one. A little longer is noise, and one
// thread would cost more than it saves: what this is about takes ten or a hundred times as long.
const margin = 2.5
const marginMs = 5
// One slow step is chance, unless the machine was busy lately.
const strikesToYield = 2
// A step that takes this many times as long as on one thread, and this much longer, is not worth waiting for.
const fatal = 3
const fatalMs = 50
const firstPenaltyMs = 500
const maxPenaltyMs = 16_000

/**
 * How many compute threads the next step uses: all, or one while other programs keep the cores busy. llama.cpp's threads
 * wait for each other by spinning after every operation; when one of them has no core, the others burn theirs, and a step
 * can take a hundred times as long. One thread waits for nobody.
 */
export class ThreadGovernor {
  readonly all: number
  /** Most threads for now: what others on this machine leave. */
  most = Number.POSITIVE_INFINITY
  readonly #alone = new CostModel()
  #strikes = 0
  #penaltyMs = firstPenaltyMs
  #aloneUntil = 0

  constructor(threads: number) {
    this.all = threads
  }

  /** Threads for a step that starts now (ms). */
  threads(now: number): number {
    return now < this.#aloneUntil ? 1 : Math.min(this.all, this.most)
  }

  /** A step ended at `now`. */
  observe(stage: number, rows: number, ms: number, threads: number, now: number): void {
    if (threads === 1) {
      this.#alone.observe(stage, rows, ms)
      return
    }
    if (!this.#alone.knows(stage)) return
    if (ms <= margin * this.#alone.rows(stage, rows) + marginMs) {
      this.#strikes = 0
      // Good for longer than the last penalty took: what disturbs comes now and then, and is no program that goes on.
      if (now - this.#aloneUntil > this.#penaltyMs / 2) this.#penaltyMs = firstPenaltyMs
      return
    }
    const lately = this.#penaltyMs > firstPenaltyMs
    if (++this.#strikes < (lately ? 1 : strikesToYield)) return
    this.useOneThread(now)
  }

  /** Milliseconds after which a step on these threads should be stopped and run again on one, or undefined. */
  patienceMs(stage: number, rows: number, threads: number): number | undefined {
    if (threads === 1 || !this.#alone.knows(stage)) return undefined
    return fatal * this.#alone.rows(stage, rows) + fatalMs
  }

  /** The next steps run on one thread. */
  useOneThread(now: number): void {
    this.#strikes = 0
    this.#aloneUntil = now + this.#penaltyMs
    this.#penaltyMs = Math.min(maxPenaltyMs, 2 * this.#penaltyMs)
  }
}
