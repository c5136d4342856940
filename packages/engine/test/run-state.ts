import type { Sequence, Step } from '../src/core/sequences/sequence.ts'
import type { CheckedLoop } from './checked-loop.ts'
import type { FixedCosts } from './fixed-costs.ts'
import type { Schedule } from './schedule.ts'
import type { ScheduledRequest } from './scheduled-request.ts'
import type { SequentialModel } from './simulated-model.ts'
import type { SimulatedStages } from './simulation.ts'

/** What is checked while a schedule is served. */
export interface RunState {
  readonly schedule: Schedule
  readonly stages: number
  readonly contextLength: number
  readonly costs: FixedCosts
  readonly caches: SimulatedStages
  readonly model: SequentialModel
  readonly loop: CheckedLoop
  readonly requests: readonly ScheduledRequest[]
  /** Milliseconds. */
  readonly now: number
  /** The step that the last one of the loop took in, if it was done. */
  readonly lastDone: Step | undefined
  /** Texts that were typed, and were in a step that failed. */
  readonly lost: ReadonlySet<Sequence>
  /** The request that a sequence, or what it is for, belongs to. */
  ownerOf(sequence: Sequence): ScheduledRequest | undefined
}
