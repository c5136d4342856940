import type { ProposerName } from '../api/request.ts'
import type { EngineStats } from '../api/stats.ts'
import type { Draft } from '../proposers/proposer.ts'
import type { Flight, TailDraft } from './active-request.ts'
import type { Guess } from './reply.ts'
import { trace } from './trace.ts'

/** The books of tails: who proposed what, how much of it was right, and what of it is left to be decided. */
export class Books {
  readonly #stats: EngineStats

  constructor(stats: EngineStats) {
    this.#stats = stats
  }

  /** The tail becomes the first `length` tokens of this draft, which are returned. */
  set(flight: Flight, draft: Draft, length: number, judge?: TailDraft['judge']): number[] {
    this.retire(flight)
    const tokens = draft.tokens.slice(0, length)
    flight.guesses = tokens.map((token, i) => ({ token, stability: draft.confidences[i]! }))
    flight.draft = { source: draft.source, offered: tokens.length, right: 0, ...(judge && { judge }) }
    flight.reply.timings.draftedN += tokens.length
    return tokens
  }

  /** One more guess at the end of the tail. */
  add(flight: Flight, source: ProposerName, guess: Guess, judge?: TailDraft['judge']): void {
    flight.guesses.push(guess)
    flight.draft ??= { source, offered: 0, right: 0, ...(judge && { judge }) }
    flight.draft.offered++
    flight.reply.timings.draftedN++
  }

  /** A token was decided: `confirmed` when the tail said so; otherwise all `tail` tokens are gone. */
  learn(flight: Flight, confirmed: boolean, tail: number): void {
    const { draft, reply } = flight
    if (draft === undefined) return
    if (confirmed) {
      draft.right++
      reply.timings.acceptedN++
      flight.guesses.shift()
    } else {
      reply.timings.rejectedN += tail
      trace?.(
        `rolled back seq${flight.sequence?.order}: ${tail} tokens of ${draft.source}, the full model chose another`,
      )
      flight.guesses = []
    }
    if (flight.guesses.length === 0) this.#close(flight, draft)
  }

  /** A draft is replaced before anybody verified it. */
  retire(flight: Flight): void {
    const { draft } = flight
    if (draft === undefined) return
    flight.reply.timings.rejectedN += flight.guesses.length
    // What was never judged says nothing about the proposer.
    const judged = draft.offered - flight.guesses.length
    flight.guesses = []
    this.#close(flight, draft, judged)
  }

  #close(flight: Flight, draft: TailDraft, judged = draft.offered): void {
    const { source, offered, right } = draft
    this.#stats.drafted += offered
    this.#stats.accepted += right
    this.#stats.rejected += offered - right
    this.#stats.proposers[source] ??= { drafts: 0, drafted: 0, accepted: 0 }
    const counts = this.#stats.proposers[source]
    counts.drafts++
    counts.drafted += offered
    counts.accepted += right
    if (judged > 0) draft.judge?.(judged, right)
    trace?.(`${source} seq${flight.sequence?.order}: ${right} of ${offered} accepted`)
    flight.draft = undefined
  }
}
