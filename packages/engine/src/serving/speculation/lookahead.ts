import { type Calibration, survivalOf } from '../../core/sampling/calibration.ts'
import type { Costs } from '../../core/schedule/schedule.ts'
import { lookPays } from '../../core/schedule/speculation-gain.ts'
import { inPrompt, tailLength } from '../../core/sequences/sequence.ts'
import type { SequenceTable } from '../../core/sequences/sequence-table.ts'
import { trimToGrammar } from '../../proposers/grammar.ts'
import { burst, type LookPlan, looksFrom } from '../../proposers/skim.ts'
import type { EngineParts } from '../../runtime/load/load.ts'
import type { Flight } from '../active-request.ts'
import type { Books } from '../tail.ts'
import { trace } from '../trace.ts'
import type { Alternatives } from './alternatives.ts'
import { guessOf } from './guess.ts'

/**
 * Guesses at the first word while the prompt is still being computed: how replies to similar prompts began (`opening`),
 * then looks on forks that jump to its end (`skim`). They become the tail at the prompt's end, where the prompt's last
 * rows verify it almost for nothing.
 */
export class FirstWord {
  readonly #loaded: EngineParts
  readonly #core: SequenceTable
  readonly #costs: Costs
  readonly #books: Books
  readonly #alternatives: Alternatives
  readonly #delayed: () => number

  /** @param delayed how many requests wait longer for their first token when work is added now */
  constructor(
    loaded: EngineParts,
    core: SequenceTable,
    costs: Costs,
    books: Books,
    alternatives: Alternatives,
    delayed: () => number,
  ) {
    this.#loaded = loaded
    this.#core = core
    this.#costs = costs
    this.#books = books
    this.#alternatives = alternatives
    this.#delayed = delayed
  }

  /** A request begins: what is known without any layer of the model, and whether looks are to be taken. */
  begin(flight: Flight): void {
    const sequence = flight.sequence!
    flight.looks = looksFrom(sequence.computed[0]!, flight.looks, (look) => this.#pays(flight, look))
    sequence.pausedAt = flight.looks[0]?.forkAt ?? Number.POSITIVE_INFINITY
    // Everybody's replies are learnt from, but not everybody asked for guesses.
    const draft = flight.allowed.has('opening') ? flight.opening?.propose(sequence) : undefined
    if (!draft || !inPrompt(sequence) || tailLength(sequence) > 0) return
    const legal = flight.grammar ? trimToGrammar(draft, flight.grammar, []) : draft
    const room = Math.min(flight.maxTokens, this.#loaded.info.contextLength - 1 - sequence.prompt)
    // Rows at the prompt's end are cheap, but not free: what is likely wrong would only be in the way.
    const length = Math.min(likely(legal?.confidences ?? []), room)
    if (!legal || length === 0) return
    this.#core.append(sequence, this.#books.set(flight, legal, length))
    flight.reply.show(flight.guesses, 'opening')
  }

  /**
   * Starts a look when its prefix is there. The prompt goes on meanwhile, up to where the next look may be wanted. What the
   * look before would still have decoded is given up: the prompt would wait for it.
   */
  prepare(flight: Flight): void {
    const sequence = flight.sequence!
    const plan = flight.looks[0]
    if (!plan || flight.look?.tokens.length === 0 || sequence.computed.at(-1)! < plan.forkAt) return
    flight.looks = flight.looks.slice(1)
    if (flight.look) this.#looked(flight)
    if (!this.#pays(flight, plan)) {
      trace?.(`no look seq${sequence.order}: its rows cost more than it is worth`)
      this.endLooks(flight)
      return
    }
    const fork = this.#core.addLookahead(sequence, plan.forkAt, flight.prompt.slice(plan.tailFrom))
    trace?.(fork ? `look seq${sequence.order} at ${plan.forkAt}, rest from ${plan.tailFrom}` : 'no slot for a look')
    if (!fork) {
      this.endLooks(flight)
      return
    }
    flight.look = { fork, tokens: [], stabilities: [], speaks: true }
    sequence.pausedAt = flight.looks[0]?.forkAt ?? Number.POSITIVE_INFINITY
  }

  /**
   * A look has its next token: the first one is shown at once, and all of them stand at the prompt's end. A look that is
   * not sure enough is followed by the next one.
   */
  look(flight: Flight, logits: Float32Array): void {
    const look = flight.look!
    const parent = flight.sequence!
    const { token, probability } = guessOf(logits, flight, [...flight.prompt, ...look.tokens])
    const stability = survivalOf(this.#calibrationOf(flight, token), probability)
    const first = look.tokens.length === 0
    look.stabilities.push(stability)
    look.tokens.push(token)
    this.#core.decide(look.fork, token)
    if (first) {
      look.others = this.#alternatives.others(logits, token)
      look.speaks = isBetter(flight, token, stability)
      if (look.speaks) {
        const draft = { source: 'skim' as const, tokens: [token], confidences: [stability] }
        this.#core.replace(parent, parent.prompt, this.#books.set(flight, draft, 1))
      }
      if (stability >= flight.minStability) this.#lookNoMore(flight)
    } else if (look.speaks) {
      this.#books.add(flight, 'skim', { token, stability })
      this.#core.append(parent, [token])
    }
    flight.reply.show(flight.guesses, flight.draft?.source ?? 'skim')
    const { vocab } = this.#loaded.stages[0]!.model
    const enough = Math.min(burst, flight.maxTokens, this.#loaded.info.contextLength - 1 - parent.prompt)
    if (look.tokens.length < enough && !vocab.isEndOfGeneration(token)) return
    this.#looked(flight)
    if (flight.looks.length === 0) this.#alternatives.branch(flight, look.others ?? [])
  }

  /** The look that runs is over. */
  #looked(flight: Flight): void {
    const { fork, tokens } = flight.look!
    this.#core.remove(fork)
    flight.look = undefined
    flight.seen = tokens[0]
  }

  /** No look any more: the one that runs is dropped, and the prompt goes on to its end. */
  endLooks(flight: Flight): void {
    if (flight.look) this.#core.remove(flight.look.fork)
    flight.look = undefined
    this.#lookNoMore(flight)
  }

  #lookNoMore(flight: Flight): void {
    if (flight.looks.length === 0 && flight.sequence!.pausedAt === Number.POSITIVE_INFINITY) return
    flight.looks = []
    flight.sequence!.pausedAt = Number.POSITIVE_INFINITY
  }

  #pays(flight: Flight, { forkAt, tailFrom }: LookPlan): boolean {
    const { prompt } = flight.sequence!
    const look = { survival: this.#usualSurvival(flight), rows: prompt - tailFrom, burst }
    return lookPays(look, prompt - forkAt, this.#delayed(), this.#core.stages, this.#costs)
  }

  /** How often a look like the next one is right: its calibration's steps hold about as many samples each. */
  #usualSurvival({ seen }: Flight): number {
    const { first, differing } = this.#loaded.skim
    const { survival } = seen === undefined ? first : differing
    return survival.reduce((sum, one) => sum + one, 0) / Math.max(1, survival.length)
  }

  #calibrationOf(flight: Flight, token: number): Calibration {
    const { first, agreeing, differing, later } = this.#loaded.skim
    if (flight.look!.tokens.length > 0) return later
    if (flight.seen === undefined) return first
    return flight.seen === token ? agreeing : differing
  }
}

/** Whether what a look saw is worth more than what stands there. */
function isBetter({ draft, guesses }: Flight, token: number, stability: number): boolean {
  const [before] = guesses
  return draft?.source !== 'opening' || !before || stability >= before.stability || before.token === token
}

// A guess that is wrong more often than right is not worth a row.
const minSurvival = 0.5

/** Length of the part of a chain that is more likely right than not. */
function likely(confidences: readonly number[]): number {
  let survival = 1
  let length = 0
  while (length < confidences.length && survival * confidences[length]! >= minSurvival) {
    survival *= confidences[length++]!
  }
  return length
}
