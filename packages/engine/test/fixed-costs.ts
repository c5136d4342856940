import { CostModel } from '../src/core/cost/cost-model.ts'
import type { Microbatch } from '../src/core/cost/microbatches.ts'
import type { Schedule } from './schedule.ts'

/** Costs that no measurement changes. */
export class FixedCosts extends CostModel {
  readonly #cost: Schedule['cost']

  constructor(cost: Schedule['cost']) {
    super()
    this.#cost = cost
  }

  override microbatch(_stage: number, { rows }: Microbatch): number {
    return this.#cost.fixed + this.#cost.row * rows
  }

  override within(_stage: number, ms: number): number {
    const { fixed, row } = this.#cost
    return Math.max(1, Math.min(Number.MAX_SAFE_INTEGER, Math.floor((ms - fixed) / row)))
  }

  override observeMicrobatches(): void {}
}
