import type { SpeculationGain } from '../../core/cost/speculation-gain.ts'
import type { TokenProbability } from '../../core/sampling/sample.ts'
import { tailLength } from '../../core/sequences/sequence.ts'
import type { SequenceTable } from '../../core/sequences/sequence-table.ts'
import type { ActiveRequest } from '../active-request.ts'
import { trace } from '../trace.ts'

// Beyond the third the chance of a first token is a few percent.
const maxAlternatives = 2

/** How many likely tokens are asked for, the guess itself among them. */
export const candidates = maxAlternatives + 1

/**
 * Other first tokens beside the tail's: each starts a continuation of its own, whose rows run in one batch with the
 * prompt's last ones (which carry the sequence ids of all of them). The one that the full model chooses survives, and its
 * next token is there a whole step earlier. (Yang et al. 2023, "Predictive Pipelined Decoding", start k continuations at
 * an intermediate layer.)
 */
export class Alternatives {
  readonly #table: SequenceTable
  readonly #gain: SpeculationGain

  constructor(table: SequenceTable, gain: SpeculationGain) {
    this.#table = table
    this.#gain = gain
  }

  /** Starts the continuations that are worth their rows. */
  start(request: ActiveRequest, guess: number, likely: readonly TokenProbability[]): void {
    const sequence = request.sequence!
    // They differ in the first token that is not committed, beside a tail.
    if (tailLength(sequence) === 0 || this.#table.alternatives(sequence).length > 0) return
    const others = likely.filter(({ token }) => token !== guess).slice(0, maxAlternatives)
    for (const { token, probability } of others) {
      if (!this.#gain.alternativePays(probability) || this.#table.freeSlots < 2) return
      const alternative = this.#table.addAlternative(sequence, [token])
      if (alternative === undefined) return
      trace?.(`alternative seq${alternative.order} of seq${sequence.order}: token ${token}, ${probability.toFixed(2)}`)
    }
  }
}
