import { setImmediate } from 'node:timers/promises'
import type { Loop } from './loop.ts'

/**
 * Runs a loop's steps while there is something to do. An exception that nobody expected ends it for good: it never goes
 * on over a state that may be half changed.
 */
export class LoopDriver {
  readonly #loop: Loop
  readonly #onFailure: (error: unknown) => void
  #running: Promise<void> | undefined
  /** Somebody woke it while it ran. Who only waits does not: for a place that nobody gives up he may wait for long. */
  #again = false
  #failed = false
  /** Told when steps begin to run, and when nothing is left to be done. */
  onComputing: (computing: boolean) => void = () => {}

  /** @param onFailure a step threw: nothing runs any more */
  constructor(loop: Loop, onFailure: (error: unknown) => void) {
    this.#loop = loop
    this.#onFailure = onFailure
  }

  /** There may be something to do: to be called after whatever changes what the loop has to do. */
  wake(): void {
    if (this.#failed) return
    this.#again = true
    this.#running ??= this.#run()
      .catch((error: unknown) => {
        this.#failed = true
        this.#onFailure(error)
      })
      .finally(() => {
        this.#running = undefined
        if (this.#again) this.wake()
      })
  }

  /** Resolves when nothing is left to be done. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  async #run(): Promise<void> {
    // Requests that arrive in the same turn of the event loop start together.
    await Promise.resolve()
    this.onComputing(true)
    try {
      await this.#runSteps()
    } finally {
      this.onComputing(false)
    }
  }

  async #runSteps(): Promise<void> {
    const { stats } = this.#loop
    let ended = performance.now()
    for (;;) {
      this.#again = false
      const before = stats.decodeMs
      // What a reply leaves is copied, which takes milliseconds: those who wait for its last words go first.
      if (this.#loop.hasLeaving) await setImmediate()
      if (!(await this.#loop.step())) return
      const now = performance.now()
      // Our own time between two decodes.
      stats.overheadMs += Math.max(0, now - ended - (stats.decodeMs - before))
      ended = now
    }
  }
}
