import type { DraftModel, DraftRequest } from '../../core/executor.ts'
import type { Acceptances } from '../../proposers/acceptances.ts'
import { type Acceptance, maxDraft } from '../../proposers/proposer.ts'
import type { ActiveRequest } from '../active-request.ts'
import { expectedTokens, type Offer } from './offer.ts'
import type { SpeculationParts } from './speculation-parts.ts'

// A chain of guesses is given up when it is less likely than this to be right.
const minSurvival = 0.2
// Replies are expected to go on for so many more drafts: rows that the model has not followed yet pay over as many.
const draftsToCome = 16
// Acceptance of a draft model that nobody has seen at work yet.
const prior = 0.7

/**
 * A draft model as a proposer of many requests at once. Unlike the others it takes time of the device, so that it is asked
 * only where its guesses are expected to save more than that.
 */
export class DraftProposer {
  readonly #model: DraftModel
  readonly #acceptances: Acceptances
  readonly #guarded: SpeculationParts['guarded']

  constructor(model: DraftModel, { acceptances, guarded }: Pick<SpeculationParts, 'acceptances' | 'guarded'>) {
    this.#model = model
    this.#acceptances = acceptances
    this.#guarded = guarded
  }

  /**
   * @param plain number of replies in the step
   * @param most guesses that anybody can use
   * @param ms cost of a step of the verifying model with this many rows
   */
  async offers(
    requests: readonly ActiveRequest[],
    plain: number,
    most: number,
    ms: (rows: number) => number,
  ): Promise<Offer[]> {
    const model = this.#model
    const asked = requests.filter(({ plan }) => plan.allowed.has(model.name))
    if (asked.length === 0) return []
    const count = this.#bestCount(asked, plain, Math.min(most, maxDraft), ms)
    if (count === 0) return []
    const { drafts } = await model.propose(
      asked.map((request) => draftRequest(request, count)),
      minSurvival,
    )
    return drafts.flatMap((draft, i) => {
      if (draft.fault)
        this.#guarded(asked[i]!, () => {
          throw draft.fault
        })
      if (draft.fault || draft.tokens.length === 0) return []
      const acceptance = this.#acceptance(asked[i]!)
      const onVerified = (offered: number, right: number) => {
        acceptance.observe(offered, right)
        model.observe(draft, right)
      }
      return [{ request: asked[i]!, draft: { source: model.name, ...draft }, onVerified }]
    })
  }

  /** The draft length that gives the most tokens per millisecond, its own time counted; 0 when none is better. */
  #bestCount(asked: readonly ActiveRequest[], plain: number, most: number, ms: (rows: number) => number): number {
    let best = 0
    let bestRate = plain / ms(plain)
    for (let count = 1; count <= most; count++) {
      let expected = plain
      for (const request of asked) {
        const acceptance = this.#acceptance(request)
        expected += expectedTokens(Array.from({ length: count }, (_, i) => acceptance.at(i)))
      }
      const { behind, guesses } = this.#model.estimateMs(asked.map((request) => draftRequest(request, count)))
      const rate = expected / (behind / draftsToCome + guesses + ms(plain + count * asked.length))
      if (rate <= bestRate) continue
      best = count
      bestRate = rate
    }
    return best
  }

  #acceptance({ tier }: ActiveRequest): Acceptance {
    return this.#acceptances.of(this.#model.name, tier.name, prior)
  }
}

function draftRequest({ sequence, plan }: ActiveRequest, count: number): DraftRequest {
  const { slot, tokens, committed, prompt } = sequence!
  return { slot, tokens: tokens.slice(0, committed), prompt, count, chooser: plan.chooser }
}
