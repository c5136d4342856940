import type { SlotRows } from '../../core/cost/microbatches.ts'
import type { Rows, Step } from '../../core/sequences/sequence.ts'
import type { ActiveRequest } from '../active-request.ts'
import { Alternatives } from './alternatives.ts'
import { DraftProposer } from './draft-proposer.ts'
import { Drafting } from './drafting.ts'
import { EarlyExit } from './early-exit.ts'
import { Lookahead } from './lookahead.ts'
import type { SpeculationParts } from './speculation-parts.ts'

/** Who guesses, when it pays, and what becomes of it. */
export class Speculation {
  readonly #lookahead: Lookahead
  readonly #exit: EarlyExit | undefined
  readonly #drafting: Drafting
  readonly #guarded: SpeculationParts['guarded']
  readonly #firstWords: SpeculationParts['firstWords']

  constructor(parts: SpeculationParts) {
    const alternatives = new Alternatives(parts.table, parts.gain)
    this.#guarded = parts.guarded
    this.#firstWords = parts.firstWords
    this.#lookahead = new Lookahead(parts, alternatives)
    this.#exit = parts.exit && new EarlyExit(parts, parts.exit, alternatives)
    const { draftModel } = parts.executor
    this.#drafting = new Drafting(parts, draftModel && new DraftProposer(draftModel, parts))
  }

  /** A request got its place. */
  began(request: ActiveRequest): void {
    this.#lookahead.began(request)
  }

  /**
   * Before a step: begins lookaheads whose prefix is there, and drafts where a reply waits for its next token.
   * @param plain the step without drafts
   */
  async prepare(requests: ReadonlySet<ActiveRequest>, plain: () => SlotRows[]): Promise<void> {
    for (const request of [...requests]) this.#guarded(request, () => this.#lookahead.prepare(request))
    await this.#drafting.prepare(requests, plain)
  }

  /** A lookahead has logits. */
  lookedAhead(request: ActiveRequest, step: Step, rows: Rows): void {
    this.#lookahead.decoded(request, step, rows)
  }

  /** Stage 0's exit head has logits. Returns a token that is final by policy. */
  exited(request: ActiveRequest, step: Step, rows: Rows): number | undefined {
    return this.#exit?.guess(request, step, rows)
  }

  /** The prompt's own first token is decided: a lookahead that still runs comes too late. */
  firstTokenDecided(request: ActiveRequest, token: number): void {
    const { plan, reply } = request
    this.#firstWords.decided({
      namespace: plan.cacheNamespace,
      token,
      looks: this.#lookahead.seenBy(request),
      shown: reply.firstShown,
      onAverage: plan.firstStability !== undefined,
    })
    this.#lookahead.end(request)
  }

  /** A request lost its guesses, perhaps with its place: it looks ahead no more, but may guess again. */
  guessesDropped(request: ActiveRequest): void {
    this.#lookahead.end(request)
    request.dropGuesses()
  }

  /** A request is over. `complete`: its reply is one to learn from. */
  ended(request: ActiveRequest, complete: boolean): void {
    this.#lookahead.forget(request)
    const { sequence, plan } = request
    if (!complete || !sequence) return
    for (const proposer of [plan.opening, ...plan.proposers]) proposer?.finished?.(sequence)
  }
}
