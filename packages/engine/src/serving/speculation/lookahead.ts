import type { TokenProbability } from '../../core/sampling/sample.ts'
import { inPrompt, type Rows, type Sequence, type Step, tailLength } from '../../core/sequences/sequence.ts'
import type { ExpectedToken, LookaheadOdds, SeenToken } from '../../proposers/lookahead-odds.ts'
import { burst, type LookaheadPlan, lookaheadsThatPay } from '../../proposers/skim.ts'
import type { ActiveRequest } from '../active-request.ts'
import { trace } from '../trace.ts'
import { type Alternatives, candidates } from './alternatives.ts'
import { draftBudget } from './draft-budget.ts'
import type { SpeculationParts } from './speculation-parts.ts'
import { trimToConstraint } from './trim-to-constraint.ts'

/** A lookahead that runs. */
interface Running {
  readonly sequence: Sequence
  readonly tokens: number[]
  /** Its tokens are the tail; not when somebody else is surer. */
  inTail: boolean
  /** What may stand in place of its first token. */
  likely: readonly TokenProbability[]
}

/** The lookaheads of one request. */
interface State {
  /** Those still to be taken. */
  plans: readonly LookaheadPlan[]
  running: Running | undefined
  /** What they have seen, in order. */
  readonly seen: SeenToken[]
  /** What `opening` holds for likely. */
  expected: ExpectedToken | undefined
}

/**
 * Guesses at the first word while the prompt is still being computed: how replies to similar prompts began (`opening`),
 * then lookaheads, sequences that jump to the prompt's end (`skim`). They become the tail at the prompt's end, where the
 * prompt's last rows verify it almost for nothing.
 */
export class Lookahead {
  readonly #parts: SpeculationParts
  readonly #alternatives: Alternatives
  readonly #states = new Map<ActiveRequest, State>()

  constructor(parts: SpeculationParts, alternatives: Alternatives) {
    this.#parts = parts
    this.#alternatives = alternatives
  }

  /** A request begins: what is known without any layer of the model, and whether lookaheads are to be taken. */
  began(request: ActiveRequest): void {
    const sequence = request.sequence!
    // Once a place was lost, nobody waits for the first word any more, or the prompt is cut no further.
    const before = this.#states.get(request)
    const wanted = before?.plans ?? request.plan.lookaheads
    const state: State = { plans: [], running: undefined, seen: before?.seen ?? [], expected: before?.expected }
    this.#states.set(request, state)
    const computed = sequence.computed[0]!
    state.plans = this.#worthwhile(
      request,
      state,
      wanted.filter(({ forkAt }) => forkAt > computed),
    )
    this.#pauseAtNext(request, state)
    this.#open(request, state)
  }

  /** What the reply's constraint forces it to begin with, or how replies to similar prompts began. */
  #open(request: ActiveRequest, state: State): void {
    const sequence = request.sequence!
    const { plan } = request
    if (!inPrompt(sequence) || tailLength(sequence) > 0) return
    const forced = plan.proposers.find(({ name }) => name === 'grammar')?.propose(sequence)
    // A look would see the same.
    if (forced) this.#lookNoMore(request, state)
    const opening = !forced && plan.allowed.has('opening') ? plan.opening?.propose(sequence) : undefined
    if (opening) state.expected = { token: opening.tokens[0]!, probability: opening.confidences[0]! }
    const draft = forced ?? opening
    const trimmed = draft && trimToConstraint(draft, request)
    if (trimmed === undefined) return
    // Rows at the prompt's end are cheap, but not free: what is likely wrong would only be in the way.
    const length = Math.min(likelyLength(trimmed.confidences), draftBudget(request, this.#parts))
    if (length === 0) return
    request.tail.set(trimmed, length)
    request.flush()
  }

  /**
   * Begins a lookahead when its prefix is there. The prompt goes on meanwhile, up to where the next one may be wanted.
   * What the one before would still have decoded is given up: the prompt would wait for it.
   */
  prepare(request: ActiveRequest): void {
    const state = this.#states.get(request)
    const plan = state?.plans[0]
    if (!state || !plan) return
    const sequence = request.sequence!
    if (state.running?.tokens.length === 0 || sequence.computed.at(-1)! < plan.forkAt) return
    if (state.running) this.#stop(state)
    const worthwhile = this.#worthwhile(request, state, state.plans)
    if (worthwhile[0] !== plan) {
      trace?.(`no lookahead seq${sequence.order}: its rows cost more than it is worth`)
      state.plans = worthwhile
      this.#pauseAtNext(request, state)
      return
    }
    state.plans = worthwhile.slice(1)
    const { table } = this.#parts
    const ahead = table.addLookahead(sequence, plan.forkAt, request.prompt.slice(plan.tailFrom))
    if (ahead === undefined) {
      trace?.('no slot for a lookahead')
      this.#lookNoMore(request, state)
      return
    }
    trace?.(`lookahead seq${sequence.order} at ${plan.forkAt}, rest from ${plan.tailFrom}`)
    state.running = { sequence: ahead, tokens: [], inTail: true, likely: [] }
    this.#pauseAtNext(request, state)
  }

  /**
   * A lookahead has its next token: the first one is shown at once, and all of them stand at the prompt's end. One that is
   * not sure enough is followed by the next one.
   */
  decoded(request: ActiveRequest, step: Step, rows: Rows): void {
    const { executor, table, vocabulary, contextLength } = this.#parts
    const odds = this.#oddsOf(request)
    const state = this.#states.get(request)!
    const running = state.running!
    const { sequence: ahead, tokens } = running
    const parent = request.sequence!
    const { prompt: start, committed: end } = ahead
    // What it decodes is no committed text of the reply.
    const place = { step, rows, index: rows.to - 1, reply: { tokens: ahead.tokens, start, end, committed: start } }
    const first = tokens.length === 0
    const choice = executor.choose(place, request.plan.chooser, {
      probability: true,
      ...(first && { others: candidates }),
    })
    const { token, probability = 0, others = [] } = choice
    tokens.push(token)
    table.decide(ahead, token)
    if (first) {
      const second = Math.max(0, ...others.filter((other) => other.token !== token).map((other) => other.probability))
      const seen = { before: state.seen.at(-1)?.token, token, probability, second, expected: state.expected }
      const stability = odds.first(seen)
      state.seen.push(seen)
      running.likely = others
      running.inTail = isBetter(request, token, stability)
      if (running.inTail) request.tail.set({ source: 'skim', tokens: [token], confidences: [stability] }, 1)
      const { minStability, firstStability = minStability } = request.plan
      if (stability >= firstStability) this.#lookNoMore(request, state)
    } else if (running.inTail) request.tail.append('skim', { token, stability: odds.later(probability) })
    request.flush()
    const enough = Math.min(burst, table.longestDraft(parent), request.maxTokens, contextLength - 1 - parent.prompt)
    if (tokens.length < enough && !vocabulary.isEndOfGeneration(token)) return
    this.#stop(state)
    if (state.plans.length === 0) this.#alternatives.start(request, tokens[0]!, running.likely)
  }

  /** What lookaheads saw of the first token, in order. */
  seenBy(request: ActiveRequest): readonly SeenToken[] {
    return this.#states.get(request)?.seen ?? []
  }

  /** No lookahead any more: the one that runs is dropped, and the prompt goes on to its end. */
  end(request: ActiveRequest): void {
    const state = this.#states.get(request)
    if (!state || (!state.running && state.plans.length === 0)) return
    if (state.running) this.#parts.table.remove(state.running.sequence)
    state.running = undefined
    this.#lookNoMore(request, state)
  }

  /** The request is over. */
  forget(request: ActiveRequest): void {
    this.#states.delete(request)
  }

  /** The lookahead that runs is over. */
  #stop(state: State): void {
    this.#parts.table.remove(state.running!.sequence)
    state.running = undefined
  }

  #lookNoMore(request: ActiveRequest, state: State): void {
    state.plans = []
    this.#pauseAtNext(request, state)
  }

  /** The prompt stops where the next lookahead begins. */
  #pauseAtNext({ sequence }: ActiveRequest, { plans: [next] }: State): void {
    if (next) this.#parts.table.pauseAt(sequence!, next.forkAt)
    else this.#parts.table.resume(sequence!)
  }

  #worthwhile(request: ActiveRequest, { seen }: State, plans: readonly LookaheadPlan[]): readonly LookaheadPlan[] {
    const { prompt } = request.sequence!
    const { gain, delayed } = this.#parts
    const odds = this.#oddsOf(request)
    return lookaheadsThatPay(plans, ({ forkAt, tailFrom }) => {
      const cost = { survival: odds.usual(seen.at(-1)?.token), rows: prompt - tailFrom, burst }
      return gain.lookaheadPays(cost, prompt - forkAt, delayed())
    })
  }

  #oddsOf({ plan }: ActiveRequest): LookaheadOdds {
    return this.#parts.firstWords.of(plan.cacheNamespace).odds
  }
}

/** Whether what a lookahead saw is worth more than what stands there. */
function isBetter({ tail }: ActiveRequest, token: number, stability: number): boolean {
  const [before] = tail.guesses
  return tail.source !== 'opening' || !before || stability >= before.stability || before.token === token
}

// A guess that is wrong more often than right is not worth a row.
const minSurvival = 0.5

/** Length of the part of a chain that is more likely right than not. */
function likelyLength(confidences: readonly number[]): number {
  let survival = 1
  let length = 0
  while (length < confidences.length && survival * confidences[length]! >= minSurvival) {
    survival *= confidences[length++]!
  }
  return length
}
