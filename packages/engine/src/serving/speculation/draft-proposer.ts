import type { Acceptances } from '../../proposers/acceptances.ts'
import type { Acceptance } from '../../proposers/proposer.ts'
import type { DraftRunner } from '../../runtime/draft-runner.ts'
import { maxDrafts } from '../../runtime/load/load.ts'
import type { Flight } from '../active-request.ts'
import { expectedTokens, type Offer } from './drafting.ts'

// A chain of guesses is given up when it is less likely than this to be right.
const minSurvival = 0.2
// Replies are expected to go on for so many more drafts: rows that a drafter has not followed yet pay over as many.
const draftsToCome = 16
// Acceptance of a second model that nobody has seen at work yet.
const prior = 0.7

/**
 * A second model as a proposer of many sequences at once: `draft`, a smaller one, `experts`, the same with fewer of them,
 * or `mtp`, the prediction layer of the first. Unlike the others it takes time of the device, so that it is asked only where its guesses are expected to save
 * more than that.
 */
export class DraftProposer {
  readonly name: 'draft' | 'experts' | 'mtp'
  readonly #model: DraftRunner
  readonly #acceptances: Acceptances

  constructor(name: DraftProposer['name'], model: DraftRunner, acceptances: Acceptances) {
    this.name = name
    this.#model = model
    this.#acceptances = acceptances
  }

  /**
   * @param plain number of replies in the step
   * @param ms cost of a step of the verifying model with this many rows
   */
  async offers(flights: readonly Flight[], plain: number, ms: (rows: number) => number): Promise<Offer[]> {
    const asked = flights.filter(({ allowed: proposers }) => proposers.has(this.name))
    if (asked.length === 0) return []
    const count = this.#bestCount(asked, plain, ms)
    if (count === 0) return []
    const requests = asked.map((flight) => this.#request(flight, count))
    const { drafts } = await this.#model.propose(requests, minSurvival)
    return drafts.flatMap((draft, i) => {
      if (draft.tokens.length === 0) return []
      const acceptance = this.#acceptance(asked[i]!)
      const judge = (offered: number, right: number) => {
        acceptance.observe(offered, right)
        this.#model.observe(draft, right)
      }
      return [{ flight: asked[i]!, draft: { source: this.name, ...draft }, judge }]
    })
  }

  /** The draft length that gives the most tokens per millisecond, its own time counted; 0 when none is better. */
  #bestCount(asked: readonly Flight[], plain: number, ms: (rows: number) => number): number {
    let best = 0
    let bestRate = plain / ms(plain)
    for (let count = 1; count <= maxDrafts; count++) {
      let expected = plain
      for (const flight of asked) {
        const acceptance = this.#acceptance(flight)
        expected += expectedTokens(Array.from({ length: count }, (_, i) => acceptance.at(i)))
      }
      const { behind, guesses } = this.#model.estimateMs(asked.map((flight) => this.#request(flight, count)))
      const rate = expected / (behind / draftsToCome + guesses + ms(plain + count * asked.length))
      if (rate <= bestRate) continue
      best = count
      bestRate = rate
    }
    return best
  }

  #request({ sequence, sampling }: Flight, count: number) {
    const { slot, tokens, committed } = sequence!
    return { slot, tokens: tokens.slice(0, committed), count, sampling }
  }

  #acceptance({ tier }: Flight): Acceptance {
    return this.#acceptances.of(this.name, tier.name, prior)
  }
}
