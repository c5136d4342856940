import { calibration } from './gate.ts'

/**
 * How often what a model gave this probability was what the writer wrote, by model: held-out code, `bench/calibrate.ts`.
 * A model without an entry is taken at its word.
 */
const known: readonly { readonly names: RegExp; readonly points: readonly (readonly [number, number])[] }[] = []

export function calibrationOf(model: string): (probability: number) => number {
  const points = known.find(({ names }) => names.test(model))?.points
  return points ? calibration(points) : (probability) => probability
}
