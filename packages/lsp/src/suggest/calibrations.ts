import { calibration } from './gate.ts'

/**
 * How often what a model gave this probability was what the writer wrote, by model: held-out code, `bench/calibrate.ts`.
 * A model without an entry is taken at its word.
 */
const known: readonly { readonly names: RegExp; readonly points: readonly (readonly [number, number])[] }[] = [
  {
    // 1605 beginnings of completions at 300 places of this repository, `--seed 1`.
    names: /prelude.small/i,
    points: [
      [0.001, 0.006],
      [0.002, 0.012],
      [0.012, 0.075],
      [0.043, 0.13],
      [0.138, 0.248],
      [0.525, 0.641],
      [1, 0.641],
    ],
  },
  {
    // 1976 beginnings of completions at 300 places of this repository, `--seed 1`.
    names: /prelude.nano/i,
    points: [
      [0.001, 0.01],
      [0.006, 0.015],
      [0.021, 0.136],
      [0.092, 0.187],
      [0.402, 0.531],
      [1, 0.531],
    ],
  },
]

export function calibrationOf(model: string): (probability: number) => number {
  const points = known.find(({ names }) => names.test(model))?.points
  return points ? calibration(points) : (probability) => probability
}
