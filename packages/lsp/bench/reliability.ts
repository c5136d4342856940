/** What a probability was given to, and whether it came true. */
export interface Sample {
  readonly probability: number
  readonly right: boolean
}

export interface Reliability {
  /** Samples of about the same probability, each with what was said and what came true. */
  readonly groups: readonly { readonly said: number; readonly right: number; readonly count: number }[]
  /** Expected calibration error: mean distance of the two, weighted by the samples (Naeini et al. 2015). */
  readonly error: number
  /** Mean squared distance of the probability from 0 or 1 (Brier 1950). */
  readonly brier: number
}

/** How far probabilities can be taken at their word, in groups of a tenth. */
export function reliability(samples: readonly Sample[]): Reliability {
  const groups = Array.from({ length: 10 }, (_, i) => {
    const inside = samples.filter(({ probability }) => Math.min(9, Math.floor(10 * probability)) === i)
    const said = inside.reduce((sum, { probability }) => sum + probability, 0) / inside.length
    return { said, right: inside.filter(({ right }) => right).length / inside.length, count: inside.length }
  }).filter(({ count }) => count > 0)
  const error = groups.reduce((sum, { said, right, count }) => sum + count * Math.abs(said - right), 0) / samples.length
  const brier =
    samples.reduce((sum, { probability, right }) => sum + (probability - Number(right)) ** 2, 0) / samples.length
  return { groups, error, brier }
}
