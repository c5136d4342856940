import { addGuess, type Flight, setDraft } from './flight.ts'
import { type Calibration, survivalOf } from './flow/calibrate.ts'
import type { Core } from './flow/core.ts'
import { bestDraftLength, type CostModel } from './flow/cost.ts'
import { choose, probabilityOf, topProbability } from './flow/sample.ts'
import { inPrompt, type Rows, tailLength } from './flow/sequence.ts'
import { type Loaded, mostDrafts } from './load.ts'
import { lookupAcceptance } from './propose/lookup.ts'
import { burst } from './propose/skim.ts'
import type { EngineStats } from './stats.ts'
import { trace } from './trace.ts'

// Tokens an exit may run ahead while the prompt is still in the upper stages: their verification is almost free there.
const exitBurst = 4
const leastBurstSurvival = 0.3

/** Who guesses, when it pays, and what became of it. */
export class Speculation {
  readonly #loaded: Loaded
  readonly #core: Core
  readonly #cost: CostModel
  readonly #stats: EngineStats
  readonly #lookup = lookupAcceptance()

  constructor(loaded: Loaded, core: Core, cost: CostModel, stats: EngineStats) {
    this.#loaded = loaded
    this.#core = core
    this.#cost = cost
    this.#stats = stats
  }

  /** Starts a look when its prefix is there, and drafts by lookup when a reply waits for its next token. */
  prepare(flight: Flight): void {
    const sequence = flight.sequence!
    const plan = flight.looks[0]
    if (plan && sequence.computed.at(-1)! >= plan.forkAt) {
      flight.looks = flight.looks.slice(1)
      const fork = this.#core.fork(sequence, plan.forkAt, flight.prompt.slice(plan.tailFrom))
      if (fork) flight.look = { fork, tokens: [], stabilities: [] }
      else this.#endLooks(flight)
      trace?.(fork ? `look seq${sequence.order} at ${plan.forkAt}, rest from ${plan.tailFrom}` : 'no slot for a look')
    }
    const ready = sequence.computed.at(-1)! === sequence.tokens.length - 1 && tailLength(sequence) === 0
    if (!flight.lookup || !ready || inPrompt(sequence)) return
    const draft = flight.lookup.propose(sequence.tokens, this.#lookup, this.#isEnd)
    if (draft === undefined) return
    const length = Math.min(
      bestDraftLength(draft.confidences, (rows) => this.#stepMs(rows)),
      this.#room(flight),
    )
    if (length > 0) this.#core.draft(sequence, setDraft(flight, draft, length))
  }

  /** Milliseconds of a step of this many rows through all stages. */
  #stepMs(rows: number): number {
    let ms = 0
    for (let stage = 0; stage < this.#core.stages; stage++) ms += this.#cost.rows(stage, rows)
    return ms
  }

  /** How many more drafts this flight's tail may take. */
  #room(flight: Flight): number {
    const { tokens, prompt, committed } = flight.sequence!
    const wanted = flight.maxTokens - (committed - prompt)
    return Math.max(
      0,
      Math.min(mostDrafts, wanted, this.#loaded.info.contextLength - 1 - committed) - (tokens.length - committed),
    )
  }

  /** Keeps the books of a draft: counts, acceptance, and the guesses that are left. */
  learn(flight: Flight, confirmed: boolean, tail: number): void {
    const { draft, reply } = flight
    if (draft === undefined) return
    if (confirmed) {
      draft.right++
      reply.timings.acceptedN++
      flight.guesses.shift()
    } else {
      reply.timings.rejectedN += tail
      flight.guesses = []
    }
    if (flight.guesses.length === 0) this.#close(flight)
  }

  /** A draft is replaced before anybody verified it. */
  #retire(flight: Flight): void {
    if (flight.draft === undefined) return
    flight.reply.timings.rejectedN += flight.guesses.length
    flight.guesses = []
    this.#close(flight)
  }

  #close(flight: Flight): void {
    const draft = flight.draft!
    this.#stats.drafted += draft.offered
    this.#stats.accepted += draft.right
    this.#stats.rejected += draft.offered - draft.right
    if (draft.source === 'lookup') this.#lookup[draft.match]!.observe(draft.offered, draft.right)
    trace?.(`${draft.source} seq${flight.sequence!.order}: ${draft.right} of ${draft.offered} accepted`)
    flight.draft = undefined
  }

  /** Stage 0's exit head guesses what follows the last token. */
  exit(flight: Flight, rows: Rows, logits: Float32Array): void {
    const { sequence, to } = rows
    const exit = this.#loaded.exit!
    // Guesses of someone else already stand there, or the answer came meanwhile.
    if (to !== sequence.tokens.length || (flight.draft && flight.draft.source !== 'exit')) return
    const { token, probability } = guess(logits, flight, to)
    const first = to === sequence.prompt
    const stability = survivalOf(first ? exit.calibration.first : exit.calibration.later, probability)
    const tail = tailLength(sequence)
    const worth = inPrompt(sequence) ? this.#burstPays(flight, stability) : this.#exitPays(tail, stability)
    if (!worth || this.#room(flight) === 0) return
    addGuess(flight, 'exit', { token, stability })
    this.#core.draft(sequence, [token])
    if (this.#isEnd(token)) sequence.exits = false
  }

  /**
   * While the prompt is in the upper stages, verification is almost free, but every guess holds the prompt up for one row
   * of stage 0: a first guess that will be shown is always worth it, others if they are likely to survive.
   */
  #burstPays(flight: Flight, stability: number): boolean {
    if (flight.guesses.length === 0 && flight.provisional) return true
    const survival = flight.guesses.reduce((product, guess) => product * guess.stability, stability)
    return flight.guesses.length < exitBurst && survival >= leastBurstSurvival
  }

  /**
   * While decoding, a guess pays when the upper stages' time it saves if right outweighs what it costs if wrong: one row
   * of stage 0 and one more row above.
   */
  #exitPays(tail: number, stability: number): boolean {
    let above = 0
    let more = 0
    for (let stage = 1; stage < this.#core.stages; stage++) {
      above += this.#cost.rows(stage, 1)
      more += this.#cost.rows(stage, tail + 2) - this.#cost.rows(stage, tail + 1)
    }
    return stability * (above - more) > (1 - stability) * (this.#cost.rows(0, 1) + more)
  }

  /**
   * A look ahead has its next token. The first guess is shown at once; when the look has seen enough, its tokens become
   * the parent's tail. A look that is not sure enough is followed by the next one.
   */
  look(flight: Flight, logits: Float32Array): void {
    const look = flight.look!
    const parent = flight.sequence!
    const { token, probability } = guess(logits, flight, parent.prompt + look.tokens.length)
    look.stabilities.push(survivalOf(this.#calibrationOf(flight, token), probability))
    look.tokens.push(token)
    this.#core.decide(look.fork, token)
    const enough = Math.min(burst, flight.maxTokens, this.#loaded.info.contextLength - 1 - parent.prompt)
    const guesses = look.tokens.map((seen, i) => ({ token: seen, stability: look.stabilities[i]! }))
    flight.reply.show(guesses, 'skim')
    if (look.tokens.length < enough && !this.#isEnd(token)) return
    this.#core.remove(look.fork)
    flight.look = undefined
    flight.seen = look.tokens[0]
    this.#retire(flight)
    const draft = { source: 'skim' as const, tokens: look.tokens, confidences: look.stabilities }
    this.#core.replace(parent, parent.prompt, setDraft(flight, draft, look.tokens.length))
    const next = flight.looks[0]
    if (next && look.stabilities[0]! < flight.minStability) parent.limit = next.forkAt
    else this.#endLooks(flight)
  }

  #calibrationOf(flight: Flight, token: number): Calibration {
    const { first, agreeing, differing, later } = this.#loaded.skim
    if (flight.look!.tokens.length > 0) return later
    if (flight.seen === undefined) return first
    return flight.seen === token ? agreeing : differing
  }

  #endLooks(flight: Flight): void {
    flight.looks = []
    flight.sequence!.limit = Number.POSITIVE_INFINITY
  }

  readonly #isEnd = (token: number): boolean => this.#loaded.device.stages[0]!.model.vocab.isEndOfGeneration(token)
}

/** The token these logits choose at a position, as the full model's would, and how probable they hold it. */
function guess(logits: Float32Array, flight: Flight, position: number): { token: number; probability: number } {
  const token = choose(logits, flight.sampling, position)
  const top = topProbability(logits)
  return top.token === token ? top : { token, probability: probabilityOf(logits, token) }
}
