import { IncipitError } from '../api/errors.ts'
import type { Check } from './checks.ts'
import { Deaths } from './deaths.ts'
import type { Call, FromChild } from './messages.ts'
import { thrown } from './protocol.ts'

interface Pending {
  readonly call: Call
  readonly deaths: Deaths
  readonly settle: (value: unknown) => void
  readonly reject: (error: unknown) => void
}

type Answer = Extract<FromChild, { readonly type: 'result' | 'failed' }>

/** Questions that wait for their answer. They are asked again when the engine died before it gave one. */
export class PendingCalls {
  readonly #pending = new Map<number, Pending>()
  readonly #ask: (id: number, call: Call) => void
  readonly #cancel: (id: number) => void

  constructor(ask: (id: number, call: Call) => void, cancel: (id: number) => void) {
    this.#ask = ask
    this.#cancel = cancel
  }

  /**
   * @param check of the answer
   * @throws what the engine throws; IncipitError `cancelled` by the signal
   */
  ask<T>(id: number, call: Call, check: Check<T>, signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = () => {
        this.#cancel(id)
        end(() => reject(new IncipitError('cancelled', `the ${call.method} was cancelled`)))
      }
      const end = (how: () => void) => {
        this.#pending.delete(id)
        signal?.removeEventListener('abort', cancel)
        how()
      }
      this.#pending.set(id, {
        call,
        deaths: new Deaths(),
        settle: (value) => end(() => resolve(check(value, call.method))),
        reject: (error) => end(() => reject(error)),
      })
      this.#ask(id, call)
      if (signal?.aborted) cancel()
      else signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  /** False for an answer that nobody waits for. */
  answered(answer: Answer): boolean {
    const pending = this.#pending.get(answer.id)
    if (pending === undefined) return false
    if (answer.type === 'failed') pending.reject(thrown(answer.error))
    else {
      try {
        pending.settle(answer.value)
      } catch (error) {
        pending.reject(error)
      }
    }
    return true
  }

  askAgain(): void {
    for (const [id, { call }] of this.#pending) this.#ask(id, call)
  }

  /**
   * @param error ends those whose engines die too often
   * @returns whether there were any
   */
  engineDied(error: Error): boolean {
    const ended = [...this.#pending.values()].filter(({ deaths }) => deaths.another(performance.now()))
    for (const { reject } of ended) reject(error)
    return ended.length > 0
  }

  fail(error: Error): void {
    for (const pending of [...this.#pending.values()]) pending.reject(error)
  }
}
