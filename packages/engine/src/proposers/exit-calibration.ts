import type { Calibration } from '../core/sampling/calibration.ts'

/** Survival of what an exit head guesses, by its own probability: of a reply's first token, and of later ones. */
export interface ExitCalibration {
  readonly first: Calibration
  readonly later: Calibration
}
