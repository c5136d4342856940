import type { FinishReason } from '../api/request.ts'
import type { EngineStats } from '../api/stats.ts'
import { choose, isTypical } from '../core/sampling/sample.ts'
import type { Scheduler } from '../core/schedule/scheduler.ts'
import { inPrompt, type Rows, type Step, tailLength } from '../core/sequences/sequence.ts'
import type { SequenceTable } from '../core/sequences/sequence-table.ts'
import { maskLogits } from '../proposers/grammar.ts'
import type { EngineParts } from '../runtime/load/load.ts'
import type { Flight } from './active-request.ts'
import type { InputPrefills } from './input-prefills.ts'
import type { Speculation } from './speculation/speculation.ts'
import { trace } from './trace.ts'

/** Who is told what was read. */
interface Readers {
  readonly flights: Scheduler<Flight>
  readonly speculation: Speculation
  readonly texts: InputPrefills
  readonly stats: EngineStats
  /** A reply is complete. */
  readonly finish: (flight: Flight, reason: FinishReason) => void
}

/** What a step computed is read: logits of looks and exits become guesses, those of the last stage decide. */
export class StepResults {
  readonly #loaded: EngineParts
  readonly #core: SequenceTable
  readonly #readers: Readers
  readonly #logits: Float32Array

  constructor(loaded: EngineParts, core: SequenceTable, readers: Readers) {
    this.#loaded = loaded
    this.#core = core
    this.#readers = readers
    this.#logits = new Float32Array(loaded.info.vocabulary)
  }

  /** Takes in a step that is done, before anything else runs in its stage. */
  read(step: Step): void {
    const { flights, speculation, texts } = this.#readers
    const last = step.stage === this.#core.stages - 1
    let row = 0
    for (const rows of step.rows) {
      const { sequence, from, to, output, valid } = rows
      const lastRow = row + to - 1 - from
      const flight = flights.jobOf(sequence)
      if (flight === undefined) {
        texts.of(sequence)?.onProgress?.()
      } else if (sequence.kind === 'lookahead') {
        // The prompt's own first token may have been decided just now: then the look is over.
        if (last && output < valid && this.#core.has(sequence))
          speculation.look(flight, this.#logitsOf(step.stage, lastRow))
      } else {
        if (flight.heads && step.stage === 0 && valid > from) speculation.see(flight, rows)
        if (last) this.#decide(flight, rows, row)
        else if (output < valid && valid === to) {
          const token = speculation.exit(flight, rows, this.#logitsOf(step.stage, lastRow))
          if (token !== undefined) this.#said(flight, token, 'earlyN')
        }
        if (flights.running.has(flight)) {
          flight.reply.flush()
          flight.reply.show(flight.guesses, flight.draft?.source ?? 'exit')
        }
      }
      row += to - from
    }
  }

  /** Logits of a batch's row, until the next ones are read. */
  #logitsOf(stage: number, row: number): Float32Array {
    return this.#loaded.stages[stage]!.context.logits(row, this.#logits)
  }

  /** The last stage decides: its logits confirm the tail token by token, or replace it. */
  #decide(flight: Flight, rows: Rows, row: number): void {
    const { slot, from, output } = rows
    const { speculation, stats } = this.#readers
    const sequence = flight.sequence!
    const { reply } = flight
    if (!inPrompt(sequence)) reply.timings.promptMs ??= reply.elapsed()
    // These rows are not, or no longer, the sequence's when another branch was right.
    while (sequence.slot === slot) {
      // Row committed - 1 decides the first token that is not committed; a rollback takes the rows after it away.
      const index = sequence.committed - 1
      if (index < output || index >= Math.min(rows.valid, sequence.computed.at(-1)!)) return
      const logits = this.#logitsOf(this.#core.stages - 1, row + index - from)
      const { grammar, sampling } = flight
      if (grammar) maskLogits(logits, grammar.allowed(sequence.tokens.slice(sequence.prompt, sequence.committed)))
      const choice = choose(logits, sampling, sequence.committed)
      const token = this.#tolerates(flight, logits) ? sequence.tokens[sequence.committed]! : choice
      if (sequence.committed === sequence.prompt) speculation.decided(flight)
      const tail = tailLength(sequence)
      const verdict = this.#core.decide(sequence, token)
      speculation.learn(flight, verdict === 'confirmed', tail)
      if (verdict === 'alternative') {
        stats.branched++
        trace?.(`branch of seq${sequence.order}: right`)
      }
      if (!this.#said(flight, token, token === choice ? undefined : 'toleratedN')) return
      // A reply ahead stops here until its text is final.
      if (flight.ahead && sequence.committed - sequence.prompt >= flight.ahead.budget) sequence.pausedAt = 0
    }
  }

  /** Policy `tolerant`: a token that is shown already stays when the full model holds it nearly as likely as its best. */
  #tolerates({ policy, reply, sequence, alpha }: Flight, logits: Float32Array): boolean {
    if (policy !== 'tolerant' || reply.shownTokens === 0) return false
    const shown = sequence!.tokens[sequence!.committed]
    return shown !== undefined && isTypical(logits, shown, alpha)
  }

  /** A token is final. False when the reply ends with it. */
  #said(flight: Flight, token: number, lossy: 'toleratedN' | 'earlyN' | undefined): boolean {
    const { stats, finish } = this.#readers
    const { reply } = flight
    stats.generatedTokens++
    if (lossy) {
      reply.timings[lossy]++
      stats[lossy === 'earlyN' ? 'early' : 'tolerated']++
    }
    const ended = reply.commit(token) ?? this.#limitOf(flight)
    if (ended) finish(flight, ended)
    return ended === undefined
  }

  /** Why a reply must end after the token just committed, if it must. */
  #limitOf(flight: Flight): FinishReason | undefined {
    const { committed, prompt } = flight.sequence!
    if (committed - prompt >= flight.maxTokens) return 'length'
    return committed >= this.#loaded.info.contextLength ? 'context' : undefined
  }
}
