import type { EngineStats } from '../../api/stats.ts'
import type { Vocabulary } from '../../api/vocabulary.ts'
import type { SpeculationGain } from '../../core/cost/speculation-gain.ts'
import type { Executor } from '../../core/executor.ts'
import type { SequenceTable } from '../../core/sequences/sequence-table.ts'
import type { Acceptances } from '../../proposers/acceptances.ts'
import type { ExitCalibration } from '../../proposers/exit-calibration.ts'
import type { FirstWordBook } from '../../proposers/first-words.ts'
import type { ActiveRequest } from '../active-request.ts'

/** What speculation works with. */
export interface SpeculationParts {
  readonly executor: Executor
  readonly table: SequenceTable
  readonly gain: SpeculationGain
  readonly vocabulary: Vocabulary
  readonly contextLength: number
  readonly stats: EngineStats
  readonly acceptances: Acceptances
  /** What the guesses of the exit head are worth, where there is one. */
  readonly exit: ExitCalibration | undefined
  /** What guesses at first words are worth. */
  readonly firstWords: FirstWordBook
  /** How many requests wait longer for their first token when work is added now. */
  readonly delayed: () => number
  /** Does something for one request; what the caller's code throws meanwhile ends this request alone. */
  readonly guarded: (request: ActiveRequest, act: () => void) => void
}
