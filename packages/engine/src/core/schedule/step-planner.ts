import type { Costs } from '../cost/costs.ts'
import type { Step } from '../sequences/sequence.ts'
import type { SequenceTable } from '../sequences/sequence-table.ts'
import { type Limits, schedule } from './schedule.ts'

/** Plans the steps of a table's sequences. It changes nothing: who takes a step begins it. */
export class StepPlanner {
  readonly #table: SequenceTable
  readonly #limits: Limits
  readonly #costs: Costs

  constructor(table: SequenceTable, options: { limits: Limits; costs: Costs }) {
    this.#table = table
    this.#limits = options.limits
    this.#costs = options.costs
  }

  /**
   * The next step for a device, or undefined when it is busy or nothing can run there.
   * @param now ms, on the clock of the arrivals
   * @param cells the step may take so many new cells; only stage 0 takes any
   */
  plan(device: number, now: number, cells = Number.POSITIVE_INFINITY): Step | undefined {
    const idle = this.#table.idleStages(device)
    if (idle === undefined) return undefined
    const stages = cells > 0 ? idle : idle.filter((stage) => stage > 0)
    const limits = cells > 0 ? { ...this.#limits, batch: Math.min(this.#limits.batch, cells) } : this.#limits
    return schedule(this.#table.sequences, { stages, limits, costs: this.#costs, now })
  }
}
