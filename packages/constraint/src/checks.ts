import { createHash } from 'node:crypto'
import { constants, setPriority } from 'node:os'
import { extname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { ConstraintError } from './constraint-error.ts'
import type { Declared } from './declared.ts'

export interface CheckOptions {
  /** Most milliseconds of a core that compiling may take. Default 250. */
  readonly cpuMs?: number
  /**
   * After so many milliseconds of a core a check is ended, whatever it is at: to find the place that is wrong, parts of a
   * schema are compiled again. Default 3,000.
   */
  readonly mostMs?: number
}

/** What a check found wrong. */
export interface Problem {
  readonly reason: string
  readonly path: string | undefined
}

/** What the thread says: that it is at it now (and what it is called, where its priority can be set), and what it found. */
export type CheckMessage =
  | { readonly type: 'began'; readonly thread?: number }
  | { readonly type: 'checked'; readonly problem?: Problem }

interface Waiting {
  /** What is declared, as text: it may be too deep for a message. */
  readonly declared: string
  readonly key: string
  readonly settle: (problem: Problem | undefined) => void
}

/** Results that are remembered. */
const maxKnown = 512

/**
 * A check that has worked for so many milliseconds goes on with the lowest priority: then nobody's next word waits for it,
 * and those of ordinary schemas, a few milliseconds each, do not wait for seconds where all cores are busy.
 */
const ordinaryMs = 50
/** Milliseconds between two looks at how much of a core a check has taken. */
const lookMs = 25

/**
 * Tries in a thread of its own whether something compiles, and how long that takes: what runs away there holds up nobody.
 * One at a time; what was checked lately is known. A thread is started when the first one is asked for. What counts is the
 * work of a check: neither that its thread starts, nor that others have the cores.
 */
export class ConstraintChecks implements Disposable {
  readonly #cpuMs: number
  readonly #mostMs: number
  readonly #known = new Map<string, Promise<Problem | undefined>>()
  readonly #waiting: Waiting[] = []
  #worker: Worker | undefined
  #busy = false

  constructor({ cpuMs = 250, mostMs = 3000 }: CheckOptions = {}) {
    this.#cpuMs = cpuMs
    this.#mostMs = mostMs
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
    const over = new AbortController()
    let isLow = false
    const finish = (problem: Problem | undefined, reusable: boolean) => {
      over.abort()
      worker.off('message', told).off('error', failed).off('exit', failed)
      worker.unref()
      // A thread whose priority is low stays so: the next check gets another one.
      if (!reusable || isLow) {
        void worker.terminate()
        this.#worker = undefined
      }
      this.#busy = false
      next.settle(problem)
      this.#next()
    }
    const told = (message: CheckMessage) => {
      if (message.type === 'checked') finish(message.problem, true)
      else {
        const look = (worked: number) => {
          if (worked > this.#mostMs) tooLong()
          else if (worked > ordinaryMs && !isLow && message.thread !== undefined) isLow = lowerPriority(message.thread)
        }
        void watchWork(worker, look, over.signal).catch(() => {})
      }
    }
    const tooLong = () => finish({ reason: `it takes more than ${this.#mostMs} ms to check`, path: undefined }, false)
    const failed = (error: unknown) => {
      // Nothing is known of it: the next time it is tried again.
      this.#known.delete(next.key)
      finish(
        { reason: `it could not be checked: ${error instanceof Error ? error.message : error}`, path: undefined },
        false,
      )
    }
    worker.on('message', told).on('error', failed).on('exit', failed)
    worker.ref()
    worker.postMessage({ declared: next.declared, cpuMs: this.#cpuMs })
  }

  #start(): Worker {
    const worker = new Worker(new URL(`./check-worker${extname(import.meta.url)}`, import.meta.url))
    worker.unref()
    return worker
  }
}

/** Whether it could be done: the thread may have ended. */
function lowerPriority(thread: number): boolean {
  try {
    setPriority(thread, constants.priority.PRIORITY_LOW)
    return true
  } catch {
    return false
  }
}

/**
 * Tells again and again how many milliseconds a thread has worked since now.
 * @throws Error when it was ended, or the signal aborts
 */
async function watchWork(worker: Worker, look: (ms: number) => void, signal: AbortSignal): Promise<never> {
  const before = await workedMs(worker)
  for (;;) {
    await sleep(lookMs, undefined, { signal })
    const worked = (await workedMs(worker)) - before
    signal.throwIfAborted()
    look(worked)
  }
}

/** Milliseconds that a thread has worked. Before Node 24.6 nobody can tell: there those count that pass. */
async function workedMs(worker: Worker): Promise<number> {
  if (!('cpuUsage' in worker)) return performance.now()
  const { user, system } = await worker.cpuUsage()
  return (user + system) / 1000
}

function serialised(declared: Declared): string {
  try {
    return JSON.stringify(declared)
  } catch (error) {
    if (error instanceof RangeError) throw new ConstraintError('it is nested too deeply', '')
    throw new ConstraintError(`it is no JSON: ${error instanceof Error ? error.message : error}`, '')
  }
}
