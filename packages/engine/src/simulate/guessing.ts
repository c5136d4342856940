import { atDepth, type CostModel } from '../core/cost/cost-model.ts'
import type { Microbatch, SlotRows } from '../core/cost/microbatches.ts'
import { burstPays, draftsOfStep, exitPays, lookPays } from '../core/cost/speculation-gain.ts'
import { inPrompt, tailLength } from '../core/sequences/sequence.ts'
import type { SequenceTable } from '../core/sequences/sequence-table.ts'
import { Acceptance, maxDraft } from '../proposers/proposer.ts'
import { burst, type LookPlan, looksFrom, planLooks } from '../proposers/skim.ts'
import type { Flight } from './flight.ts'
import { type GuessQuality, GuessSampler } from './guess-sampler.ts'
import { token } from './random.ts'
import type { RowAccounting } from './row-accounting.ts'
import { type SimulatedRequest, suffixTokens } from './workload.ts'

/** What the full model says to a request at a position of its reply. */
type Said = (request: number, position: number) => number

export interface GuessingOptions {
  readonly quality: GuessQuality
  readonly seed: number
  /** Looks are taken, and guesses shown. */
  readonly provisional: boolean
  readonly minStability: number
  readonly said: Said
  /** Rows that attention computes together. */
  readonly tile: number
  /** Requests that wait longer for their first token when work is added now. */
  readonly delayed: () => number
}

// What a draw is about.
const aboutWrong = 203

/** Who guesses, when it pays, and what became of it: the engine's rules (`speculate/`) over guesses that are drawn. */
export class Guessing {
  drafted = 0
  accepted = 0
  readonly #core: SequenceTable
  readonly #costs: CostModel
  readonly #ledger: RowAccounting
  readonly #options: GuessingOptions
  readonly #luck: GuessSampler
  // Before anything was counted, a draft is as likely right as wrong.
  readonly #acceptance = new Acceptance(0.5)

  constructor(core: SequenceTable, costs: CostModel, ledger: RowAccounting, options: GuessingOptions) {
    this.#core = core
    this.#costs = costs
    this.#ledger = ledger
    this.#options = options
    this.#luck = new GuessSampler(options.quality, options.seed)
  }

  /** Looks that a request wants. */
  looksOf({ prompt, tier }: SimulatedRequest) {
    return this.#options.provisional && tier.speculates
      ? planLooks(prompt.length, suffixTokens, this.#options.tile)
      : []
  }

  /**
   * Before a step: starts looks whose prefix is there, and drafts where a reply waits for its next token.
   * @param plain the next step without drafts
   */
  prepare(flights: Iterable<Flight>, plain: () => SlotRows[]): void {
    const ready: { flight: Flight; slot: number; confidences: number[] }[] = []
    for (const flight of flights) {
      this.#startLook(flight)
      if (!this.#waits(flight)) continue
      const { committed, prompt, slot } = flight.sequence!
      if (!this.#luck.offers(flight.request.index, committed - prompt)) continue
      const room = Math.min(maxDraft, flight.maxTokens - (committed - prompt))
      ready.push({ flight, slot, confidences: Array.from({ length: room }, (_, i) => this.#acceptance.at(i)) })
    }
    if (ready.length === 0) return
    // What a guess costs depends on how far it looks back.
    const depth = ready.reduce((sum, { flight }) => sum + flight.sequence!.tokens.length, 0) / ready.length
    const costs = (stage: number, pass: Microbatch) => this.#costs.microbatch(stage, pass, depth)
    const lengths = draftsOfStep(ready, plain(), this.#core.stages, costs, !this.#core.unified)
    for (const [i, { flight }] of ready.entries()) {
      if (lengths[i] === 0) continue
      flight.draft = { byDrafter: true, offered: lengths[i]!, right: 0 }
      const sequence = flight.sequence!
      const from = sequence.committed - sequence.prompt
      for (let position = from; position < from + lengths[i]!; position++) {
        this.#core.append(sequence, [this.#guess(flight, position, 'draft', this.#isRight(flight, from, position))])
      }
    }
  }

  #waits({ sequence, tier }: Flight): boolean {
    if (!tier.speculates || inPrompt(sequence!) || tailLength(sequence!) > 0) return false
    return sequence!.computed.at(-1)! === sequence!.tokens.length - 1 && !this.#core.inFlight(sequence!)
  }

  /** Whether everything that is guessed from one position of a reply up to another one is right. */
  #isRight({ request, sequence }: Flight, from: number, to: number): boolean {
    for (let position = from; position < to; position++) {
      if (sequence!.tokens[sequence!.prompt + position] !== this.#options.said(request.index, position)) return false
    }
    return true
  }

  /** A guess at a position of a reply; `before`: the guesses before it are right. Nothing is right after the end. */
  #guess({ request }: Flight, position: number, who: 'draft' | 'exit', before: boolean): number {
    const { index, reply } = request
    if (before && position < reply && this.#luck[who](index, position)) return this.#options.said(index, position)
    return token(this.#options.seed, aboutWrong, index, position)
  }

  // --- looks --------------------------------------------------------------------------------------------------------

  /** A request begins: whether looks are to be taken. */
  begin(flight: Flight): void {
    const sequence = flight.sequence!
    flight.looks = looksFrom(sequence.computed[0]!, flight.looks, (look) => this.#pays(flight, look))
    sequence.pausedAt = flight.looks[0]?.forkAt ?? Number.POSITIVE_INFINITY
  }

  #pays({ prompt }: Flight, { forkAt, tailFrom }: LookPlan): boolean {
    const look = { survival: this.#options.quality.looks, rows: prompt.length - tailFrom, burst }
    return lookPays(look, prompt.length - forkAt, this.#options.delayed(), this.#core.stages, this.#costs)
  }

  #startLook(flight: Flight): void {
    const sequence = flight.sequence!
    const plan = flight.looks[0]
    if (!plan || flight.look?.tokens.length === 0 || sequence.computed.at(-1)! < plan.forkAt) return
    flight.looks = flight.looks.slice(1)
    if (flight.look) this.#core.remove(flight.look.fork)
    flight.look = undefined
    if (!this.#pays(flight, plan)) {
      this.endLooks(flight)
      return
    }
    const fork = this.#core.addLookahead(sequence, plan.forkAt, flight.prompt.slice(plan.tailFrom))
    if (!fork) {
      this.endLooks(flight)
      return
    }
    flight.look = { fork, tokens: [], share: plan.forkAt / flight.prompt.length }
    sequence.pausedAt = flight.looks[0]?.forkAt ?? Number.POSITIVE_INFINITY
  }

  /** A look has its next token: the first one is shown at once, and all of them stand at the prompt's end. */
  looked(flight: Flight, now: number): void {
    const look = flight.look!
    const parent = flight.sequence!
    const { index } = flight.request
    const position = look.tokens.length
    const seen = this.#luck.look(index, look.share)
    const before = position === 0 ? seen.right : this.#isSaid(index, look.tokens)
    const next =
      position === 0 && before
        ? this.#options.said(index, 0)
        : this.#guess(flight, position, 'draft', position > 0 && before)
    look.tokens.push(next)
    this.#core.decide(look.fork, next)
    if (position === 0) {
      this.#retire(flight)
      flight.draft = { byDrafter: false, offered: 1, right: 0 }
      this.#core.replace(parent, parent.prompt, [next])
      this.#ledger.rolledBack(flight, parent.prompt)
      this.#show(flight, next, seen.stability, now)
      if (seen.stability >= this.#options.minStability) this.#lookNoMore(flight)
    } else {
      flight.draft ??= { byDrafter: false, offered: 0, right: 0 }
      flight.draft.offered++
      this.#core.append(parent, [next])
    }
    if (look.tokens.length < Math.min(burst, flight.maxTokens)) return
    this.#core.remove(look.fork)
    flight.look = undefined
  }

  #isSaid(index: number, tokens: readonly number[]): boolean {
    return tokens.every((one, position) => one === this.#options.said(index, position))
  }

  /** No look any more: the one that runs is dropped, and the prompt goes on to its end. */
  endLooks(flight: Flight): void {
    if (flight.look) this.#core.remove(flight.look.fork)
    flight.look = undefined
    this.#lookNoMore(flight)
  }

  #lookNoMore(flight: Flight): void {
    flight.looks = []
    flight.sequence!.pausedAt = Number.POSITIVE_INFINITY
  }

  /** The first token of a reply is shown before it is certain, if it is sure enough. */
  #show(flight: Flight, first: number, stability: number, now: number): void {
    if (!this.#options.provisional || stability < this.#options.minStability) return
    flight.provisional ??= now
    if (flight.shown?.token !== first) flight.shown = { token: first, at: now }
  }

  // --- exits --------------------------------------------------------------------------------------------------------

  /** The exit head speaks after the last token that left stage 0. */
  exit(flight: Flight, to: number, now: number): void {
    const sequence = flight.sequence!
    if (to !== sequence.tokens.length || flight.draft?.byDrafter) return
    const tail = tailLength(sequence)
    const position = to - sequence.prompt
    const stability = this.#options.quality.exits
    const pays = inPrompt(sequence)
      ? (tail === 0 && this.#options.provisional) || burstPays(new Array<number>(tail).fill(stability), stability)
      : exitPays(tail, stability, this.#core.stages, atDepth(this.#costs, to))
    if (!pays || tail >= maxDraft) return
    const before = this.#isRight(flight, position - tail, position)
    const next = this.#guess(flight, position, 'exit', before)
    flight.draft ??= { byDrafter: false, offered: 0, right: 0 }
    flight.draft.offered++
    this.#core.append(sequence, [next])
    if (position === 0) this.#show(flight, next, stability, now)
  }

  // --- what became of them ------------------------------------------------------------------------------------------

  /** A token was decided; `confirmed` when the tail said so. */
  learn(flight: Flight, confirmed: boolean): void {
    const { draft } = flight
    if (draft === undefined) return
    if (confirmed) draft.right++
    if (!confirmed || draft.right === draft.offered) this.#close(flight, draft.offered)
  }

  /** A reply is over, or its guesses are replaced: what was not judged says nothing. */
  #retire(flight: Flight): void {
    if (flight.draft) this.#close(flight, flight.draft.right)
  }

  #close(flight: Flight, judged: number): void {
    const { byDrafter, offered, right } = flight.draft!
    this.drafted += offered
    this.accepted += right
    if (byDrafter && judged > 0) this.#acceptance.observe(judged, right)
    flight.draft = undefined
  }

  /** A flight lost its guesses, or its place, or is over. */
  forget(flight: Flight): void {
    this.#retire(flight)
    this.endLooks(flight)
  }
}
