import { rowsOf, type Step } from '../core/sequences/sequence.ts'
import type { Context, DecodeResult } from '../llama/context.ts'
import { Threadpool } from '../llama/threadpool.ts'
import { ThreadGovernor } from './thread-governor.ts'

/** What lives on a device: a stage. `S` is its own type, that of the stage before it. */
interface Decoder<S> {
  readonly context: Context
  run(step: Step, before: S | undefined): Promise<DecodeResult>
}

/**
 * A processor: compute threads that one decode at a time uses. Stages that live on one device take turns; stages on two
 * devices run at the same time.
 */
export class Device implements Disposable {
  readonly threadpool: Threadpool
  readonly governor: ThreadGovernor
  #running: Context | undefined

  constructor(threads: number) {
    this.threadpool = new Threadpool(threads)
    this.governor = new ThreadGovernor(threads)
  }

  /**
   * Runs a step and says how long the native decode took, in milliseconds. `aborted` also when other programs keep the
   * cores so busy that it is better run again on one thread, as the next run will.
   * @param stage the stage of the step, and the one before, whose states enter
   * @param threads compute threads; by default as many as do good now
   */
  async run<S extends Decoder<S>>(
    step: Step,
    stage: S,
    before: S | undefined,
    threads?: number,
  ): Promise<{ result: DecodeResult; ms: number }> {
    if (this.#running !== undefined) throw new Error('the device is busy')
    this.#running = stage.context
    const start = performance.now()
    const used = threads ?? this.governor.threads(start)
    const rows = rowsOf(step)
    const patience = this.governor.patienceMs(step.stage, rows, used)
    const watchdog =
      patience === undefined
        ? undefined
        : setTimeout(() => {
            this.governor.useOneThread(performance.now())
            stage.context.abort()
          }, patience)
    try {
      stage.context.setThreads(used)
      const result = await stage.run(step, before)
      const end = performance.now()
      if (result === 'done') this.governor.observe(step.stage, rows, end - start, used, end)
      return { result, ms: end - start }
    } finally {
      clearTimeout(watchdog)
      this.#running = undefined
    }
  }

  /** Stops the decode that is running, if any. */
  abort(): void {
    this.#running?.abort()
  }

  [Symbol.dispose](): void {
    this.threadpool[Symbol.dispose]()
  }
}
