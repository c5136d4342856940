import type { SkimCalibration } from './skim-calibration.ts'

/** Measured by `incipit tune --skim` on SmolLM2-135M-Instruct (Q4_1) with 317 of the long prompts of `prompts/`. */
export const defaultSkimCalibration: SkimCalibration = {
  first: {
    from: [0.044, 0.066, 0.089, 0.122, 0.161, 0.263, 0.415, 0.444, 0.497, 0.59],
    survival: [0.083, 0.409, 0.476, 0.595, 0.611, 0.732, 0.75, 0.909, 0.917, 0.947],
    samples: 317,
  },
  agreeing: {
    from: [0.05, 0.105, 0.128, 0.264, 0.406],
    survival: [0.5, 0.583, 0.823, 0.903, 0.97],
    samples: 214,
  },
  differing: {
    from: [0.037, 0.064, 0.133, 0.336],
    survival: [0.417, 0.476, 0.643, 0.867],
    samples: 103,
  },
  later: {
    from: [0.021, 0.073, 0.096, 0.147, 0.205, 0.225, 0.318, 0.373, 0.513, 0.546, 0.62, 0.867, 0.916],
    survival: [0.286, 0.321, 0.389, 0.425, 0.571, 0.67, 0.704, 0.727, 0.786, 0.907, 0.935, 0.944, 0.996],
    samples: 1042,
  },
  note: 'calibrated on SmolLM2-135M-Instruct, not on this model: see `incipit tune --skim`',
}
