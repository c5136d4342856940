import type { Step } from '../flow/sequence.ts'
import type { DecodeResult } from '../llama/context.ts'
import { Threadpool } from '../llama/threadpool.ts'
import type { Stage } from './stage.ts'

/**
 * A processor with the stages that live on it. One decode at a time: all stages share its compute threads, and two
 * decodes at once would only take turns.
 */
export class Device implements Disposable {
  readonly threadpool: Threadpool
  readonly stages: Stage[] = []
  #running: Stage | undefined

  constructor(threads: number) {
    this.threadpool = new Threadpool(threads)
  }

  get busy(): boolean {
    return this.#running !== undefined
  }

  /** Runs a step and says how long the native decode took, in milliseconds. */
  async run(step: Step): Promise<{ result: DecodeResult; ms: number }> {
    if (this.#running !== undefined) throw new Error('the device is busy')
    const stage = this.stages[step.stage]!
    this.#running = stage
    const start = performance.now()
    try {
      const result = await stage.run(step, this.stages[step.stage - 1])
      return { result, ms: performance.now() - start }
    } finally {
      this.#running = undefined
    }
  }

  /** Stops the decode that is running, if any. */
  abort(): void {
    this.#running?.context.abort()
  }

  [Symbol.dispose](): void {
    for (const stage of this.stages) stage[Symbol.dispose]()
    this.stages.length = 0
    this.threadpool[Symbol.dispose]()
  }
}
