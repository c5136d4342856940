import { createHash } from 'node:crypto'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { ConstraintError } from './constraint-error.ts'
import type { Declared } from './declared.ts'

export interface CheckOptions {
  /** Most milliseconds of a core that compiling may take. Default 250. */
  readonly cpuMs?: number
  /** Most milliseconds that may pass before a check is given up, on a machine that has other things to do. Default 3,000. */
  readonly timeoutMs?: number
}

/** What a check found wrong. */
export interface Problem {
  readonly reason: string
  readonly path: string | undefined
}

interface Waiting {
  /** What is declared, as text: it may be too deep for a message. */
  readonly declared: string
  readonly key: string
  readonly settle: (problem: Problem | undefined) => void
}

/** Results that are remembered. */
const maxKnown = 512

/**
 * Tries in a thread of its own whether something compiles, and how long that takes: what runs away there holds up nobody.
 * One at a time; what was checked lately is known. A thread is started when the first one is asked for.
 */
export class ConstraintChecks implements Disposable {
  readonly #cpuMs: number
  readonly #timeoutMs: number
  readonly #known = new Map<string, Promise<Problem | undefined>>()
  readonly #waiting: Waiting[] = []
  #worker: Worker | undefined
  #busy = false

  constructor({ cpuMs = 250, timeoutMs = 3000 }: CheckOptions = {}) {
    this.#cpuMs = cpuMs
    this.#timeoutMs = timeoutMs
  }

  /** @throws ConstraintError for what does not compile, or takes too long */
  async check(declared: Declared): Promise<void> {
    const text = serialised(declared)
    const key = createHash('sha256').update(text).digest('base64')
    const known = this.#known.get(key)
    const result = known ?? new Promise((settle) => this.#waiting.push({ declared: text, key, settle }))
    this.#known.delete(key)
    this.#known.set(key, result)
    if (this.#known.size > maxKnown) this.#known.delete(this.#known.keys().next().value!)
    this.#next()
    const problem = await result
    if (problem) throw new ConstraintError(problem.reason, problem.path)
  }

  [Symbol.dispose](): void {
    void this.#worker?.terminate()
    this.#worker = undefined
    for (const { settle } of this.#waiting.splice(0)) settle({ reason: 'the check was closed', path: undefined })
  }

  #next(): void {
    const next = this.#busy ? undefined : this.#waiting.shift()
    if (next === undefined) return
    this.#busy = true
    this.#worker ??= this.#start()
    const worker = this.#worker
    const finish = (problem: Problem | undefined, reusable: boolean) => {
      clearTimeout(timer)
      worker.off('message', answered).off('error', failed).off('exit', failed)
      worker.unref()
      if (!reusable) {
        void worker.terminate()
        this.#worker = undefined
      }
      this.#busy = false
      next.settle(problem)
      this.#next()
    }
    const answered = (problem: Problem | undefined) => finish(problem, true)
    const failed = (error: unknown) => {
      // Nothing is known of it: the next time it is tried again.
      this.#known.delete(next.key)
      finish(
        { reason: `it could not be checked: ${error instanceof Error ? error.message : error}`, path: undefined },
        false,
      )
    }
    const timer = setTimeout(
      () => finish({ reason: `it takes more than ${this.#timeoutMs} ms to compile`, path: undefined }, false),
      this.#timeoutMs,
    )
    worker.on('message', answered).on('error', failed).on('exit', failed)
    worker.ref()
    worker.postMessage({ declared: next.declared, cpuMs: this.#cpuMs })
  }

  #start(): Worker {
    const worker = new Worker(new URL(`./check-worker${extname(import.meta.url)}`, import.meta.url))
    worker.unref()
    return worker
  }
}

function serialised(declared: Declared): string {
  try {
    return JSON.stringify(declared)
  } catch (error) {
    if (error instanceof RangeError) throw new ConstraintError('it is nested too deeply', '')
    throw new ConstraintError(`it is no JSON: ${error instanceof Error ? error.message : error}`, '')
  }
}
