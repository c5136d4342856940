import { survivalOf } from '../../core/sampling/calibration.ts'
import { inPrompt, type Rows, type Step, tailLength } from '../../core/sequences/sequence.ts'
import type { ExitCalibration } from '../../proposers/exit-calibration.ts'
import type { ActiveRequest } from '../active-request.ts'
import { trace } from '../trace.ts'
import { type Alternatives, candidates } from './alternatives.ts'
import { draftBudget } from './draft-budget.ts'
import type { SpeculationParts } from './speculation-parts.ts'

// Policy `confident`: rows that the upper stages may owe. They run together when the exit is unsure or this is reached.
const maxOwed = 8

/** An early exit: stage 0's head guesses the next token when the last one leaves stage 0. */
export class EarlyExit {
  readonly #parts: SpeculationParts
  readonly #calibration: ExitCalibration
  readonly #alternatives: Alternatives

  constructor(parts: SpeculationParts, calibration: ExitCalibration, alternatives: Alternatives) {
    this.#parts = parts
    this.#calibration = calibration
    this.#alternatives = alternatives
  }

  /**
   * The head has logits after the last token.
   * @returns the token when it is final (policy `confident`, lossy); the caller emits it
   */
  guess(request: ActiveRequest, step: Step, rows: Rows): number | undefined {
    const { executor, table, vocabulary } = this.#parts
    const { sequence, to } = rows
    const { tail } = request
    // Guesses of someone else already stand there, or the answer came meanwhile.
    if (to !== sequence.tokens.length || (tail.source && tail.source !== 'exit')) return undefined
    const first = to === sequence.prompt
    const place = { step, rows, index: to - 1, reply: request.replyUpTo(to) }
    const choice = executor.choose(place, request.plan.chooser, {
      probability: true,
      ...(first && { others: candidates }),
    })
    const { token, probability = 0, others = [] } = choice
    const stability = survivalOf(first ? this.#calibration.first : this.#calibration.later, probability)
    if (this.#isFinal(request, stability)) {
      trace?.(`exit seq${sequence.order}: token ${token} is final at ${stability.toFixed(2)}`)
      table.commit(sequence, token)
      return token
    }
    if (!this.#pays(request, stability, to) || draftBudget(request, this.#parts) === 0) return undefined
    tail.append('exit', { token, stability })
    if (vocabulary.isEndOfGeneration(token)) table.endExits(sequence)
    if (first) this.#alternatives.start(request, token, others)
    return undefined
  }

  #pays({ sequence, tail, reply }: ActiveRequest, stability: number, depth: number): boolean {
    const { gain } = this.#parts
    if (!inPrompt(sequence!)) return gain.exitPays(tailLength(sequence!), stability, depth)
    // A first guess that will be shown is always worth its row.
    return (tail.stabilities.length === 0 && reply.showsGuesses) || gain.burstPays(tail.stabilities, stability)
  }

  /** Policy `confident`: sure enough, everything before it is final, and the upper stages do not owe too much. */
  #isFinal({ plan, sequence }: ActiveRequest, stability: number): boolean {
    if (plan.policy !== 'confident' || stability < plan.minStability || tailLength(sequence!) > 0) return false
    const { committed, prompt, computed } = sequence!
    return committed - Math.max(prompt, computed.at(-1)!) < maxOwed
  }
}
