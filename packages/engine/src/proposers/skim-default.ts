import type { SkimCalibration } from './lookahead-odds.ts'

/**
 * Measured as by `incipit tune --skim` on SmolLM2-135M-Instruct (Q4_1): first tokens with 232 looks into 90 of the
 * long prompts of `prompts/`, later ones with 317 of them.
 */
export const defaultSkimCalibration: SkimCalibration = {
  first: {
    means: [-1.06, 2.24, 0.82, -0.03, 1],
    precision: [
      [9.29, 5.28, 3.66, 1.91, 0],
      [5.28, 5.04, 2.43, 0.64, 0],
      [3.66, 2.43, 3.73, 0, 0],
      [1.91, 0.64, 0, 1.98, 0],
      [0, 0, 0, 0, 2.59],
    ],
  },
  right: { first: 0.64, further: 0.74 },
  later: {
    from: [0.021, 0.073, 0.096, 0.147, 0.205, 0.225, 0.318, 0.373, 0.513, 0.546, 0.62, 0.867, 0.916],
    survival: [0.286, 0.321, 0.389, 0.425, 0.571, 0.67, 0.704, 0.727, 0.786, 0.907, 0.935, 0.944, 0.996],
    samples: 1042,
  },
  note: 'calibrated on SmolLM2-135M-Instruct, not on this model: see `incipit tune --skim`',
}
