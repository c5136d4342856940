import type { SkimCalibration } from './lookahead-odds.ts'

/**
 * Measured as by `incipit tune --skim` on SmolLM2-135M-Instruct (Q4_1): first tokens with 206 of the long prompts of
 * `prompts/`, later ones with 317.
 */
export const defaultSkimCalibration: SkimCalibration = {
  first: {
    from: [0.037, 0.089, 0.103, 0.121, 0.29, 0.411],
    survival: [0.409, 0.417, 0.5, 0.559, 0.719, 0.974],
    samples: 206,
  },
  agreeing: {
    from: [0.048, 0.091, 0.116, 0.134, 0.286, 0.308],
    survival: [0.409, 0.682, 0.739, 0.829, 0.833, 0.948],
    samples: 264,
  },
  differing: {
    from: [0.032, 0.063, 0.128, 0.172, 0.338],
    survival: [0.417, 0.485, 0.545, 0.636, 0.667],
    samples: 91,
  },
  later: {
    from: [0.021, 0.073, 0.096, 0.147, 0.205, 0.225, 0.318, 0.373, 0.513, 0.546, 0.62, 0.867, 0.916],
    survival: [0.286, 0.321, 0.389, 0.425, 0.571, 0.67, 0.704, 0.727, 0.786, 0.907, 0.935, 0.944, 0.996],
    samples: 1042,
  },
  note: 'calibrated on SmolLM2-135M-Instruct, not on this model: see `incipit tune --skim`',
}
