import { topK } from '../../core/sampling/sample.ts'
import type { Costs } from '../../core/schedule/schedule.ts'
import { throughAll } from '../../core/schedule/speculation-gain.ts'
import { tailLength } from '../../core/sequences/sequence.ts'
import type { SequenceTable } from '../../core/sequences/sequence-table.ts'
import type { Flight } from '../active-request.ts'
import { trace } from '../trace.ts'

/** A token that may follow, and the probability that it does. */
export interface Candidate {
  readonly token: number
  readonly probability: number
}

// Beyond the third the chance of a first token is a few percent.
const maxAlternatives = 2

/**
 * Other first tokens beside the tail's: each starts a continuation of its own, whose rows run in one batch with the
 * prompt's last ones (which carry the sequence ids of all of them). The one that the full model chooses survives, and its
 * next token is there a whole step earlier. (Yang et al. 2023, "Predictive Pipelined Decoding", start k continuations at
 * an intermediate layer.)
 */
export class Alternatives {
  readonly #core: SequenceTable
  readonly #costs: Costs

  constructor(core: SequenceTable, costs: Costs) {
    this.#core = core
    this.#costs = costs
  }

  /** The most probable tokens but `guess`. */
  others(logits: Float32Array, guess: number): Candidate[] {
    return topK(logits, maxAlternatives + 1)
      .filter(({ token }) => token !== guess)
      .slice(0, maxAlternatives)
  }

  /** Starts the continuations that are worth their rows: a step saved when right, a row more in every stage when wrong. */
  branch(flight: Flight, candidates: readonly Candidate[]): void {
    const sequence = flight.sequence!
    // They differ in the first token that is not committed, beside a tail.
    if (tailLength(sequence) === 0 || this.#core.alternatives(sequence).length > 0) return
    const saved = throughAll(this.#core.stages, this.#costs, 1)
    const price = throughAll(this.#core.stages, this.#costs, 2) - saved
    for (const { token, probability } of candidates) {
      if (probability * saved <= price) return
      if (this.#core.freeSlots < 2) return
      const branch = this.#core.addAlternative(sequence, [token])
      if (branch === undefined) return
      trace?.(`branch seq${branch.order} of seq${sequence.order}: token ${token}, ${probability.toFixed(2)}`)
    }
  }
}
