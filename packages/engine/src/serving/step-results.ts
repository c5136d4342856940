import type { ProposerName } from '../api/proposer-names.ts'
import type { EngineStats } from '../api/stats.ts'
import type { Executor } from '../core/executor.ts'
import type { Choice, ChosenLogprobs } from '../core/sampling/token-chooser.ts'
import type { Scheduler } from '../core/schedule/scheduler.ts'
import { inPrompt, type Rows, type Step, tailLength } from '../core/sequences/sequence.ts'
import type { SequenceTable } from '../core/sequences/sequence-table.ts'
import type { ActiveRequest } from './active-request.ts'
import type { InputPrefills } from './input-prefills.ts'
import type { Outbox } from './outbox.ts'
import type { Speculation } from './speculation/speculation.ts'
import { trace } from './trace.ts'

/** What stood where the full model decided a token, and what became of it. */
export interface Decision {
  /** The guess at this token, where there was one. */
  readonly guess: { readonly source: ProposerName; readonly stability: number } | undefined
  readonly right: boolean
  /** Guesses that were rolled back. */
  readonly rejected: number
}

/** Told of decisions; changes nothing. */
export interface DecisionObserver {
  /** How many likely tokens it wants to know with each of them; 0: none, and no probability either. */
  readonly others?: number
  decided?(request: ActiveRequest, decision: Decision, choice: Choice): void
}

/** Who is told of results. */
interface Receivers {
  readonly scheduler: Scheduler<ActiveRequest>
  readonly speculation: Speculation
  readonly inputs: InputPrefills
  readonly stats: EngineStats
  readonly outbox: Outbox
  /** Does something for one request; what the caller's code throws meanwhile ends this request alone. */
  readonly guarded: (request: ActiveRequest, act: () => void) => void
  readonly observer?: DecisionObserver | undefined
  /** A reply is complete. */
  readonly finish: (request: ActiveRequest, reason: 'stop' | 'length' | 'context' | 'cancelled') => void
}

/** What a step computed becomes text: lookaheads and exits guess, the last stage decides. */
export class StepResults {
  readonly #executor: Executor
  readonly #table: SequenceTable
  readonly #to: Receivers

  constructor(executor: Executor, table: SequenceTable, receivers: Receivers) {
    this.#executor = executor
    this.#table = table
    this.#to = receivers
  }

  /** Takes in a step that is done, before anything else runs in its stage. */
  read(step: Step): void {
    for (const rows of step.rows) {
      const request = this.#to.scheduler.jobOf(rows.sequence)
      if (request) this.#to.guarded(request, () => this.#readRows(step, rows, request))
      else {
        const progress = this.#to.inputs.of(rows.sequence)?.onProgress
        if (progress) this.#to.outbox.add(progress)
      }
    }
  }

  #readRows(step: Step, rows: Rows, request: ActiveRequest): void {
    const { speculation } = this.#to
    const { sequence, to, output, valid } = rows
    const last = step.stage === this.#table.stages - 1
    if (sequence.kind === 'lookahead') {
      // The prompt's own first token may have been decided just now: then the lookahead is over.
      if (last && output < valid && this.#table.has(sequence)) speculation.lookedAhead(request, step, rows)
      return
    }
    if (last) this.#decide(step, rows, request)
    else if (output < valid && valid === to) {
      const token = speculation.exited(request, step, rows)
      if (token !== undefined) this.#commit(request, token, 'earlyN')
    }
    if (request.phase === 'running') request.flush()
  }

  /** The last stage decides: its logits confirm the tail token by token, or replace it. */
  #decide(step: Step, rows: Rows, request: ActiveRequest): void {
    const { stats, observer } = this.#to
    const sequence = request.sequence!
    if (!inPrompt(sequence)) request.reply.promptDone()
    // These rows are not, or no longer, the sequence's when an alternative was right.
    while (sequence.slot === rows.slot) {
      // Row committed - 1 decides the first token that is not committed; a rollback takes the rows after it away.
      const index = sequence.committed - 1
      if (index < rows.output || index >= Math.min(rows.valid, sequence.computed.at(-1)!)) return
      const place = { step, rows, index, reply: request.replyUpTo() }
      const tolerate = this.#tolerated(request)
      const others = observer?.others ?? 0
      const wanted = { logprobs: true, tolerate, ...(others > 0 && { others, probability: true }) }
      const choice = this.#executor.choose(place, request.plan.chooser, wanted)
      const guess = request.tail.first
      const guesses = tailLength(sequence)
      const verdict = request.tail.decide(choice.token)
      if (verdict === 'alternative') {
        stats.branched++
        trace?.(`alternative of seq${sequence.order}: right`)
      }
      const right = verdict === 'confirmed' || verdict === 'alternative'
      observer?.decided?.(request, { guess, right, rejected: verdict === 'confirmed' ? 0 : guesses }, choice)
      if (!this.#commit(request, choice.token, choice.tolerated ? 'toleratedN' : undefined, choice.logprobs)) return
    }
  }

  /** Policy `tolerant`: a token that is shown already stays when the full model holds it nearly as likely as its best. */
  #tolerated({ plan, reply, sequence }: ActiveRequest): { token: number; alpha: number } | undefined {
    if (plan.policy !== 'tolerant' || reply.shownTokens === 0) return undefined
    const token = sequence!.tokens[sequence!.committed]
    return token === undefined ? undefined : { token, alpha: plan.alpha }
  }

  /** A token is final. False when the reply ends with it. */
  #commit(
    request: ActiveRequest,
    token: number,
    lossy: 'toleratedN' | 'earlyN' | undefined,
    logprobs?: ChosenLogprobs,
  ): boolean {
    const { speculation, stats, finish } = this.#to
    stats.generatedTokens++
    if (request.replyTokens === 1) speculation.firstTokenDecided(request, token)
    if (lossy) {
      request.reply.timings[lossy]++
      stats[lossy === 'earlyN' ? 'early' : 'tolerated']++
    }
    const ended = request.commit(token, logprobs)
    if (ended) finish(request, ended)
    // A reply to a text that is not final stops here until it is.
    else if (request.early && request.replyTokens >= request.early.budget) this.#table.pauseAt(request.sequence!, 0)
    return ended === undefined
  }
}
