import assert from 'node:assert/strict'
import type { ConstraintState } from '../src/api/constraint.ts'
import type { FinishReason } from '../src/api/events.ts'
import { isLossy, type Policy } from '../src/api/policies.ts'
import type { ProposerName } from '../src/api/proposer-names.ts'
import { TokenChooser } from '../src/core/sampling/token-chooser.ts'
import { GrammarProposer } from '../src/proposers/grammar.ts'
import { type CommittedText, maxDraft, type Proposer } from '../src/proposers/proposer.ts'
import type { LookaheadPlan } from '../src/proposers/skim.ts'
import type { ActiveRequest, RequestPlan } from '../src/serving/active-request.ts'
import { type InputPrefill, inputPrefill } from '../src/serving/input-prefill.ts'
import { choosing, ExpectedReply } from './expected-reply.ts'
import { RuledState } from './fixtures/constraints.ts'
import { regularLanguage, WatchedConstraint } from './regular-language.ts'
import type { Arrival, HeadGuess } from './schedule.ts'
import { type CallersCode, ScheduledClient } from './scheduled-client.ts'
import { inTurn, ScriptedProposer } from './scripted-guesses.ts'
import { endToken, type SequentialModel, vocabulary } from './simulated-model.ts'

/** How a request ended. */
export type Outcome = FinishReason | 'failed' | 'dropped' | 'refused'

/** What a request lives in. */
export interface Surroundings extends CallersCode {
  readonly model: SequentialModel
  readonly contextLength: number
  /** Stage 0 has an exit head. */
  readonly exit: boolean
  readonly cancel: (request: ScheduledRequest) => void
}

/** One request of a schedule: what it asks for, and what becomes of it. */
export class ScheduledRequest {
  readonly arrival: Arrival
  readonly policy: Policy
  readonly client: ScheduledClient
  readonly expected: ExpectedReply
  readonly plan: RequestPlan
  /** The text that is typed before, and what it reads now. */
  readonly input: InputPrefill | undefined
  typed: readonly number[] = []
  active: ActiveRequest | undefined
  outcome: Outcome | undefined
  /** Most tokens of the reply. */
  maxTokens: number
  /** The committed reply so far. */
  said: readonly number[] = []
  /** Errors and codes of errors with which it may fail. */
  readonly causes = new Set<unknown>()
  /** Per index of the reply, what an exit or the full model chose there. */
  readonly chosen: Set<number>[] = []
  /** What a head sees next. */
  readonly nextHead: () => HeadGuess | undefined
  /** Those that learn from whole replies. */
  readonly learners: readonly ScriptedProposer[]
  constraintThrew = false
  /** It lost its place, and got or will get another one. */
  displaced = false
  /** A step with rows of it failed. */
  mustEnd = false
  /** Its caller was told that it gave way. */
  toldDropped = 0
  /** Its end was looked at. */
  checked = false
  /** Nobody types any more. */
  forgotten = false
  readonly #guesses: () => { length: number; right: number } | undefined

  constructor(arrival: Arrival, surroundings: Surroundings) {
    const { model, contextLength, exit } = surroundings
    const { prompt, tier, reply, salt, early, typed, stop, minTokens, minStability, alpha, shares } = arrival
    this.arrival = arrival
    this.policy = arrival.policy === 'confident' && !exit ? 'committed' : arrival.policy
    const { throwsAt, cancelsAt } = arrival
    this.client = new ScheduledClient(surroundings, { throwsAt, cancelsAt, cancel: () => surroundings.cancel(this) })
    this.maxTokens = reply
    this.expected = new ExpectedReply(arrival, model, contextLength)
    this.nextHead = inTurn(arrival.heads)
    this.#guesses = inTurn(arrival.guesses)
    this.input = typed && inputPrefill(salt, { wanted: () => this.typed, onProgress: surroundings.called })
    const chooser = new TokenChooser({ ...choosing(arrival), constraint: this.#constraint(surroundings) })
    // Who wants no reply wants no guesses at it.
    const speculates = tier.speculates && reply > 0
    const allowed = new Set(speculates ? arrival.proposers.filter((name) => exit || name !== 'exit') : [])
    const scripted = (name: ProposerName) => new ScriptedProposer(name, (text) => this.guess(text))
    const opening = speculates ? scripted('opening') : undefined
    const later = (['lookup', 'prediction'] as const).filter((name) => allowed.has(name)).map(scripted)
    this.learners = opening ? [opening, ...later] : later
    const grammar: Proposer[] = allowed.has('grammar') && chooser.constrained ? [grammarOf(chooser)] : []
    this.plan = {
      prompt,
      minTokens,
      stop,
      chooser,
      alpha,
      minStability,
      promptLogprobs: this.scored,
      tier,
      shares,
      allowed,
      opening,
      maxTokens: reply,
      policy: this.policy,
      cacheNamespace: salt,
      proposers: [...grammar, ...later],
      // A lookahead is for somebody who waits.
      lookaheads: allowed.has('skim') && !early ? lookaheadsOf(arrival) : [],
      input: this.input,
      early: early && { budget: early.budget, onDropped: () => this.#dropped(surroundings) },
      sink: this.client,
    }
  }

  /** How many likely tokens are told with those of its prompt; undefined: nothing is told of it. */
  get scored(): number | undefined {
    return this.policy === 'confident' ? undefined : this.arrival.promptLogprobs
  }

  /** Its committed text may differ from the full model's. */
  get lossy(): boolean {
    return isLossy(this.policy)
  }

  /** What of prompt and reply is committed. It only grows. */
  hears({ tokens, committed }: { readonly tokens: readonly number[]; readonly committed: number }): void {
    const { prompt } = this.arrival
    for (const [i, token] of prompt.entries()) if (token !== tokens[i]) assert.fail('a prompt was changed')
    for (const [i, token] of this.said.entries()) {
      if (token !== tokens[prompt.length + i]) assert.fail('committed text was withdrawn')
    }
    const reply = committed - prompt.length
    assert.ok(reply >= this.said.length, 'committed text was withdrawn')
    if (reply === this.said.length) return
    const expected = this.lossy ? undefined : this.expected.tokens(reply)
    for (let i = this.said.length; i < reply; i++) {
      const token = tokens[prompt.length + i]!
      if (expected) assert.equal(token, expected[i], 'committed text is wrong')
      else assert.ok(this.chosen[i]?.has(token), 'a token was committed that nobody has chosen')
    }
    this.said = tokens.slice(prompt.length, committed)
  }

  /** Whose its rows are: nobody else may hold them. */
  rowsOwner(index: number): string {
    return this.arrival.shares ? this.arrival.salt : `request ${index}`
  }

  /** The next guesses after a text: right ones first, then tokens that differ from what the reply would be. */
  guess(text: readonly number[]): number[] {
    const { early, replyTokens } = this.active!
    assert.ok(!early || replyTokens < early.budget, 'somebody is asked for guesses that nobody verifies')
    const { length, right } = this.#guesses() ?? { length: 0, right: 0 }
    const tokens: number[] = []
    while (tokens.length < Math.min(length, maxDraft)) {
      const token = this.expected.tokenAfter([...text, ...tokens])
      if (token === endToken) break
      tokens.push(tokens.length < right ? token : (token + 1 + tokens.length) % vocabulary)
    }
    return tokens
  }

  #dropped({ called }: Surroundings): void {
    this.toldDropped++
    called()
  }

  #constraint({ verify }: Surroundings): ConstraintState | undefined {
    const { constraint } = this.arrival
    if (constraint === undefined) return undefined
    let calls = 0
    const fault = new Error('a constraint threw')
    return new WatchedConstraint(new RuledState(regularLanguage(constraint.language)), {
      call: () => {
        if (calls++ !== constraint.throwsAt && !this.constraintThrew) return
        this.constraintThrew = true
        this.causes.add(fault)
        throw fault
      },
      misuse: (problem) =>
        verify(() => {
          throw new Error(problem)
        }),
    })
  }
}

function grammarOf(chooser: TokenChooser): GrammarProposer {
  const forced = ({ tokens, prompt: start, committed: end }: CommittedText) =>
    chooser.forced({ tokens, start, end, committed: end })
  return new GrammarProposer(forced, (token) => token === endToken)
}

/** Lookaheads at the places that the schedule picks, each later than the one before. */
function lookaheadsOf({ prompt, lookaheads }: Arrival): LookaheadPlan[] {
  const plans = lookaheads.map(({ at, skip }) => {
    const forkAt = Math.floor(at * (prompt.length - 1))
    return { forkAt, tailFrom: forkAt + 1 + Math.floor(skip * (prompt.length - 1 - forkAt)) }
  })
  return plans
    .filter(({ forkAt, tailFrom }) => forkAt > 0 && tailFrom < prompt.length)
    .sort((a, b) => a.forkAt - b.forkAt)
    .filter(({ forkAt }, i, all) => forkAt !== all[i - 1]?.forkAt)
}
