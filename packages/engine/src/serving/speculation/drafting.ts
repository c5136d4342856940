import type { SlotRows } from '../../core/cost/microbatches.ts'
import { inPrompt, tailLength } from '../../core/sequences/sequence.ts'
import type { Draft } from '../../proposers/proposer.ts'
import type { ActiveRequest } from '../active-request.ts'
import { draftBudget } from './draft-budget.ts'
import type { DraftProposer } from './draft-proposer.ts'
import { expectedTokens, type Offer } from './offer.ts'
import type { SpeculationParts } from './speculation-parts.ts'
import { trimToConstraint } from './trim-to-constraint.ts'

/**
 * Drafts while decoding: every reply that waits for its next token is asked who has a guess, and over all requests those
 * guesses are taken whose expected tokens outweigh the measured milliseconds of their rows. When none do, none are.
 */
export class Drafting {
  readonly #parts: SpeculationParts
  readonly #model: DraftProposer | undefined

  constructor(parts: SpeculationParts, model: DraftProposer | undefined) {
    this.#parts = parts
    this.#model = model
  }

  /** @param plain the next step without drafts */
  async prepare(requests: ReadonlySet<ActiveRequest>, plain: () => SlotRows[]): Promise<void> {
    const { guarded, gain } = this.#parts
    const waiting = [...requests].filter((request) => this.#waits(request))
    if (waiting.length === 0) return
    const offers: Offer[] = []
    for (const request of waiting) {
      guarded(request, () => {
        const best = this.#best(request)
        if (best) offers.push(best)
      })
    }
    const drafted = this.#model ? await this.#modelOffers(this.#model, waiting, offers) : []
    // A model takes its time: who is over meanwhile drops out.
    const open = [...offers, ...drafted].filter(({ request }) => this.#waits(request))
    if (open.length === 0) return
    const chains = open.map(({ request, draft }) => ({
      slot: request.sequence!.slot,
      confidences: draft.confidences,
    }))
    // What a guess costs depends on how far it looks back.
    const ready = waiting.filter(({ sequence }) => sequence)
    const depth = ready.reduce((sum, { sequence }) => sum + sequence!.tokens.length, 0) / ready.length
    const lengths = gain.draftsOfStep(chains, plain(), depth)
    for (const [i, { request, draft, onVerified }] of open.entries()) {
      const length = Math.min(lengths[i]!, draftBudget(request, this.#parts))
      if (length > 0) request.tail.set(draft, length, onVerified)
    }
  }

  /** What a model drafts for those who have no offer yet. */
  async #modelOffers(
    model: DraftProposer,
    waiting: readonly ActiveRequest[],
    offers: readonly Offer[],
  ): Promise<Offer[]> {
    const { guarded, gain } = this.#parts
    const without = waiting.filter((request) => !offers.some((offer) => offer.request === request))
    const most = Math.max(0, ...without.map((request) => draftBudget(request, this.#parts)))
    const drafted = await model.offers(without, waiting.length, most, (rows) => gain.stepMs(rows))
    return drafted.flatMap((offer) => {
      let draft: Draft | undefined
      guarded(offer.request, () => {
        draft = trimToConstraint(offer.draft, offer.request)
      })
      return draft ? [{ ...offer, draft }] : []
    })
  }

  /** A reply waits for its next token: nothing of it is running, and nothing is guessed. */
  #waits({ phase, sequence, tier }: ActiveRequest): boolean {
    if (phase !== 'running' || !sequence || !tier.speculates) return false
    if (inPrompt(sequence) || tailLength(sequence) > 0) return false
    return (
      sequence.computed.at(-1)! === sequence.tokens.length - 1 &&
      sequence.pausedAt > sequence.committed &&
      !this.#parts.table.inFlight(sequence)
    )
  }

  /** Of the drafts of those who cost nearly nothing, the one with the most expected tokens. */
  #best(request: ActiveRequest): Offer | undefined {
    let best: Offer | undefined
    let most = 0
    for (const proposer of request.plan.proposers) {
      const proposed = proposer.propose(request.sequence!)
      const draft = proposed && trimToConstraint(proposed, request)
      if (draft === undefined) continue
      const expected = expectedTokens(draft.confidences)
      if (expected <= most) continue
      most = expected
      best = { request, draft, onVerified: (offered, right) => proposer.learn(proposed!, offered, right) }
    }
    return best
  }
}
