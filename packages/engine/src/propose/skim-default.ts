import type { SkimCalibration } from './skim-calibration.ts'

/** Placeholder until measured: nothing reaches the default bound. */
export const defaultSkimCalibration: SkimCalibration = {
  first: { from: [0], survival: [0.5], samples: 0 },
  agreeing: { from: [0], survival: [0.5], samples: 0 },
  differing: { from: [0], survival: [0.5], samples: 0 },
  later: { from: [0], survival: [0.5], samples: 0 },
  note: 'not calibrated',
}
