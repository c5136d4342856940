import type { Sequence, Step } from '../core/sequences/sequence.ts'
import type { ActiveRequest } from '../serving/active-request.ts'
import type { LoopObserver } from '../serving/loop.ts'
import type { Waste } from './outcome.ts'

/** The rows of one request, per stage. */
interface Account {
  /** Rows [0, reached) were in its sequence, or are being computed. */
  readonly reached: number[]
  /** Rows [0, before) were right when it last lost its place: they are computed again. */
  readonly before: readonly number[]
  /** Rows that others computed. */
  readonly free: readonly number[]
}

/** What became of every row that was run: kept, or wasted, and on what. Every step must come to its end. */
export class RowAccounting implements LoopObserver {
  rows = 0
  kept = 0
  readonly waste: Waste = { drafts: 0, looks: 0, again: 0 }
  /** Of the requests that have a place. */
  readonly #accounts = new Map<Sequence, Account>()
  /** Of those that lost theirs. */
  readonly #waiting = new Map<ActiveRequest, Pick<Account, 'before' | 'free'>>()

  /** A request begins with rows that others computed, or that it computed itself before it lost its place. */
  began(request: ActiveRequest): void {
    const { computed } = request.sequence!
    const nothing = computed.map(() => 0)
    const { before, free } = this.#waiting.get(request) ?? { before: nothing, free: nothing }
    this.#waiting.delete(request)
    this.#accounts.set(request.sequence!, {
      reached: [...computed],
      before,
      free: free.map((rows, stage) => rows + Math.max(0, computed[stage]! - before[stage]!)),
    })
  }

  /** Rows that were rolled back are noticed when their stage goes on in front of them. */
  stepBegins({ stage, rows }: Step): void {
    for (const { sequence, from, to } of rows) {
      this.rows += to - from
      const account = this.#accounts.get(sequence)
      if (account) {
        this.waste.drafts += account.reached[stage]! - from
        this.waste.again += Math.max(0, Math.min(to, account.before[stage]!) - from)
        account.reached[stage] = to
      } else this.waste[sequence.kind === 'lookahead' ? 'looks' : 'drafts'] += to - from
    }
  }

  preempted(request: ActiveRequest): void {
    const account = this.#accounts.get(request.sequence!)!
    this.#waiting.set(request, { before: this.#leave(request.sequence!, account), free: account.free })
  }

  finished({ sequence }: ActiveRequest): void {
    const account = sequence && this.#accounts.get(sequence)
    if (account === undefined) return
    for (const [stage, rows] of this.#leave(sequence!, account).entries()) this.kept += rows - account.free[stage]!
  }

  /** A sequence ends. Returns per stage how many of its rows were right: the others were for nothing. */
  #leave(sequence: Sequence, { reached, before }: Account): number[] {
    this.#accounts.delete(sequence)
    return reached.map((end, stage) => {
      const right = Math.min(sequence.computed[stage]!, sequence.committed)
      this.waste.drafts += end - right
      return Math.max(right, before[stage]!)
    })
  }
}
