import { Acceptance } from './proposer.ts'

// Bounds of raw confidence between the buckets: finer where most tokens of a good drafter are.
const bounds = [0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.85, 0.92, 0.97, 0.99, 0.997]

/**
 * What a drafter's own probability is worth: the share of its tokens that were right, counted while serving, per bucket
 * of that probability. Greedy and sampled tokens are counted apart: two models that choose with the same noise agree far
 * more often than the probability of the chosen token says.
 */
export class ConfidenceTable {
  readonly #greedy = buckets()
  readonly #sampled = buckets()

  /** Probability that a token is right which the drafter gave this probability, if the tokens before it are right. */
  calibrated(raw: number, sampled: boolean): number {
    return this.#bucket(raw, sampled).at(0)
  }

  /** Of a draft whose tokens had these probabilities the first `right` were confirmed, and the next one was not. */
  observe(raw: readonly number[], sampled: boolean, right: number): void {
    for (let i = 0; i < raw.length && i <= right; i++) this.#bucket(raw[i]!, sampled).observe(1, i < right ? 1 : 0)
  }

  #bucket(raw: number, sampled: boolean): Acceptance {
    const index = bounds.findIndex((bound) => raw < bound)
    return (sampled ? this.#sampled : this.#greedy)[index < 0 ? bounds.length : index]!
  }
}

/** Before anything was counted, the probability is taken at its word. */
function buckets(): Acceptance[] {
  return Array.from({ length: bounds.length + 1 }, (_, i) => {
    return new Acceptance(((bounds[i - 1] ?? 0) + (bounds[i] ?? 1)) / 2)
  })
}
