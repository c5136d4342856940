import type { EngineStats } from '../../api/stats.ts'
import type { CostModel } from '../../core/cost/cost-model.ts'
import type { SlotRows } from '../../core/cost/microbatches.ts'
import type { Rows } from '../../core/sequences/sequence.ts'
import type { SequenceTable } from '../../core/sequences/sequence-table.ts'
import type { EngineParts } from '../../runtime/load/load.ts'
import type { Flight } from '../active-request.ts'
import { Books } from '../tail.ts'
import { Alternatives } from './alternatives.ts'
import { DraftProposer } from './draft-proposer.ts'
import { Drafting } from './drafting.ts'
import { Exits } from './early-exit.ts'
import { FirstWord } from './lookahead.ts'

/** Who guesses, when it pays, and what became of it. */
export class Speculation {
  readonly #loaded: EngineParts
  readonly #books: Books
  readonly #firstWord: FirstWord
  readonly #exits: Exits
  readonly #drafting: Drafting

  /** @param delayed how many requests wait longer for their first token when work is added now */
  constructor(loaded: EngineParts, core: SequenceTable, cost: CostModel, stats: EngineStats, delayed: () => number) {
    const { second, acceptances } = loaded
    this.#loaded = loaded
    const alternatives = new Alternatives(core, cost)
    this.#books = new Books(stats)
    this.#firstWord = new FirstWord(loaded, core, cost, this.#books, alternatives, delayed)
    this.#exits = new Exits(loaded, core, cost, this.#books, alternatives)
    const model = second && new DraftProposer(second.name, second.model, acceptances)
    this.#drafting = new Drafting(loaded, core, cost, this.#books, model)
  }

  /** A request got its place. */
  begin(flight: Flight): void {
    this.#firstWord.begin(flight)
  }

  /** The states that left stage 0: what heads read. */
  see(flight: Flight, { slot, valid }: Rows): void {
    flight.heads?.see(
      valid - 1,
      this.#loaded.stages[0]!.statesOf(slot)
        .row(valid - 1)
        .slice(),
    )
  }

  /** A reply is complete. */
  finished(flight: Flight): void {
    if (flight.sequence)
      for (const proposer of [flight.opening, ...flight.proposers]) proposer?.finished?.(flight.sequence)
  }

  /**
   * Before a step: starts looks whose prefix is there, and drafts where a reply waits for its next token.
   * @param plain the step without drafts
   */
  async prepare(flights: ReadonlySet<Flight>, plain: () => SlotRows[]): Promise<void> {
    for (const flight of flights) this.#firstWord.prepare(flight)
    await this.#drafting.prepare(flights, plain)
  }

  /** The prompt's own first token is decided: a look that still runs comes too late. */
  decided(flight: Flight): void {
    this.#firstWord.endLooks(flight)
  }

  /** A look has logits. */
  look(flight: Flight, logits: Float32Array): void {
    this.#firstWord.look(flight, logits)
  }

  /** Stage 0's exit head has logits. Returns a token that is final by policy. */
  exit(flight: Flight, rows: Rows, logits: Float32Array): number | undefined {
    return this.#exits.speak(flight, rows, logits)
  }

  /** A token was decided: `confirmed` when the tail of `tail` tokens said so. */
  learn(flight: Flight, confirmed: boolean, tail: number): void {
    this.#books.learn(flight, confirmed, tail)
  }

  /** A request lost its guesses, or its place: it looks no more, but may guess again. */
  forget(flight: Flight): void {
    this.#books.retire(flight)
    if (flight.look || flight.looks.length > 0) this.#firstWord.endLooks(flight)
    flight.reply.show([], 'exit')
  }
}
