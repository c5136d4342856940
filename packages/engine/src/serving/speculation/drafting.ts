import type { CostModel } from '../../core/cost/cost-model.ts'
import type { Microbatch, SlotRows } from '../../core/cost/microbatches.ts'
import { draftsOfStep, throughAll } from '../../core/schedule/speculation-gain.ts'
import { inPrompt, tailLength } from '../../core/sequences/sequence.ts'
import type { SequenceTable } from '../../core/sequences/sequence-table.ts'
import { trimToGrammar } from '../../proposers/grammar.ts'
import type { Draft } from '../../proposers/proposer.ts'
import type { EngineParts } from '../../runtime/load/load.ts'
import type { Flight, TailDraft } from '../active-request.ts'
import type { Books } from '../tail.ts'
import { draftBudget } from './draft-budget.ts'
import type { DraftProposer } from './draft-proposer.ts'

/** A draft that somebody has for a flight. */
export interface Offer {
  readonly flight: Flight
  readonly draft: Draft
  readonly judge: NonNullable<TailDraft['judge']>
}

/**
 * Drafts while decoding: every reply that waits for its next token is asked who has a guess, and over all requests those
 * guesses are admitted whose expected tokens outweigh the measured milliseconds of their rows. When none do, none are.
 */
export class Drafting {
  readonly #loaded: EngineParts
  readonly #core: SequenceTable
  readonly #costs: CostModel
  readonly #books: Books
  readonly #second: DraftProposer | undefined

  constructor(
    loaded: EngineParts,
    core: SequenceTable,
    costs: CostModel,
    books: Books,
    second: DraftProposer | undefined,
  ) {
    this.#loaded = loaded
    this.#core = core
    this.#costs = costs
    this.#books = books
    this.#second = second
  }

  /** @param plain the next step without drafts */
  async prepare(flights: ReadonlySet<Flight>, plain: () => SlotRows[]): Promise<void> {
    const ready = [...flights].filter((flight) => this.#waits(flight))
    if (ready.length === 0) return
    const offers = ready.flatMap((flight) => this.#best(flight) ?? [])
    if (this.#second) {
      const without = ready.filter((flight) => !offers.some((offer) => offer.flight === flight))
      const ms = (rows: number) => throughAll(this.#core.stages, this.#costs, rows)
      for (const offer of await this.#second.offers(without, ready.length, ms)) {
        const draft = legal(offer.flight, offer.draft)
        if (draft) offers.push({ ...offer, draft })
      }
    }
    if (offers.length === 0) return
    const chains = offers.map(({ flight, draft }) => ({ slot: flight.sequence!.slot, confidences: draft.confidences }))
    // What a guess costs depends on how far it looks back.
    const depth = ready.reduce((sum, { sequence }) => sum + sequence!.tokens.length, 0) / ready.length
    const costs = (stage: number, pass: Microbatch) => this.#costs.microbatch(stage, pass, depth)
    const lengths = draftsOfStep(chains, plain(), this.#core.stages, costs, !this.#loaded.unified)
    for (const [i, { flight, draft, judge }] of offers.entries()) {
      // The second model took its time: the flight may be over, or have lost its place.
      if (!flights.has(flight) || !this.#waits(flight)) continue
      const length = Math.min(lengths[i]!, draftBudget(flight, this.#loaded.info.contextLength))
      if (length > 0) this.#core.append(flight.sequence!, this.#books.set(flight, draft, length, judge))
    }
  }

  /** A reply waits for its next token: nothing of it is running, and nothing is guessed. */
  #waits({ sequence, tier }: Flight): boolean {
    if (!sequence || !tier.speculates || inPrompt(sequence) || tailLength(sequence) > 0) return false
    return (
      sequence.computed.at(-1)! === sequence.tokens.length - 1 &&
      sequence.pausedAt > sequence.committed &&
      !this.#core.inFlight(sequence)
    )
  }

  /** Of the drafts of those who cost nearly nothing, the one with the most expected tokens. */
  #best(flight: Flight): Offer | undefined {
    let best: Offer | undefined
    let most = 0
    for (const proposer of flight.proposers) {
      const proposed = proposer.propose(flight.sequence!)
      const draft = proposed && legal(flight, proposed)
      if (draft === undefined) continue
      const expected = expectedTokens(draft.confidences)
      if (expected <= most) continue
      most = expected
      best = { flight, draft, judge: (offered, right) => proposer.learn(proposed!, offered, right) }
    }
    return best
  }
}

/** The part of a draft that the request's grammar allows. */
function legal({ grammar, sequence, prompt }: Flight, draft: Draft): Draft | undefined {
  return grammar ? trimToGrammar(draft, grammar, sequence!.tokens.slice(prompt.length, sequence!.committed)) : draft
}

/** Tokens that a chain is expected to give. */
export function expectedTokens(confidences: readonly number[]): number {
  let survival = 1
  let expected = 0
  for (const confidence of confidences) {
    survival *= confidence
    expected += survival
  }
  return expected
}
