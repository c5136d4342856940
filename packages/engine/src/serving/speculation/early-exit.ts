import { atDepth } from '../../core/cost/cost-model.ts'
import { survivalOf } from '../../core/sampling/calibration.ts'
import type { Costs } from '../../core/schedule/schedule.ts'
import { burstPays, exitPays } from '../../core/schedule/speculation-gain.ts'
import { inPrompt, type Rows, tailLength } from '../../core/sequences/sequence.ts'
import type { SequenceTable } from '../../core/sequences/sequence-table.ts'
import type { EngineParts } from '../../runtime/load/load.ts'
import type { Flight } from '../active-request.ts'
import type { Books } from '../tail.ts'
import { trace } from '../trace.ts'
import type { Alternatives } from './alternatives.ts'
import { draftBudget } from './draft-budget.ts'
import { guessOf } from './guess.ts'

// Policy `confident`: rows that the upper stages may owe. They run together when the exit is unsure or this is reached.
const maxOwed = 8

/** What an exit is worth: it guesses the next token when the last one leaves stage 0. */
export class Exits {
  readonly #loaded: EngineParts
  readonly #core: SequenceTable
  readonly #costs: Costs
  readonly #books: Books
  readonly #alternatives: Alternatives

  constructor(loaded: EngineParts, core: SequenceTable, costs: Costs, books: Books, alternatives: Alternatives) {
    this.#loaded = loaded
    this.#core = core
    this.#costs = costs
    this.#books = books
    this.#alternatives = alternatives
  }

  /**
   * Stage 0's exit head speaks after the last token.
   * @returns the token when it is final (policy `confident`, lossy); the caller emits it
   */
  speak(flight: Flight, rows: Rows, logits: Float32Array): number | undefined {
    const { sequence, to } = rows
    const exit = this.#loaded.exit!
    // Guesses of someone else already stand there, or the answer came meanwhile.
    if (to !== sequence.tokens.length || (flight.draft && flight.draft.source !== 'exit')) return undefined
    const { token, probability } = guessOf(logits, flight, sequence.tokens)
    const first = to === sequence.prompt
    const stability = survivalOf(first ? exit.calibration.first : exit.calibration.later, probability)
    if (this.#isFinal(flight, stability)) {
      trace?.(`exit seq${sequence.order}: token ${token} is final at ${stability.toFixed(2)}`)
      this.#core.commit(sequence, token)
      return token
    }
    const tail = tailLength(sequence)
    const worth = inPrompt(sequence)
      ? // A first guess that will be shown is always worth its row.
        (flight.guesses.length === 0 && flight.provisional) ||
        burstPays(
          flight.guesses.map((guess) => guess.stability),
          stability,
        )
      : exitPays(tail, stability, this.#core.stages, atDepth(this.#costs, to))
    if (!worth || draftBudget(flight, this.#loaded.info.contextLength) === 0) return undefined
    this.#books.add(flight, 'exit', { token, stability })
    this.#core.append(sequence, [token])
    if (this.#loaded.stages[0]!.model.vocab.isEndOfGeneration(token)) sequence.wantsExit = false
    if (first) this.#alternatives.branch(flight, this.#alternatives.others(logits, token))
    return undefined
  }

  /** Policy `confident`: sure enough, everything before it is final, and the upper stages do not owe too much. */
  #isFinal(flight: Flight, stability: number): boolean {
    const sequence = flight.sequence!
    if (flight.policy !== 'confident' || stability < flight.minStability || tailLength(sequence) > 0) return false
    return sequence.committed - Math.max(sequence.prompt, sequence.computed.at(-1)!) < maxOwed
  }
}
