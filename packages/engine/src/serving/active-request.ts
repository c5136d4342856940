import type { FinishReason, GenerateEvent, PromptToken } from '../api/events.ts'
import { type Policy, showsGuesses } from '../api/policies.ts'
import type { ProposerName } from '../api/proposer-names.ts'
import type { EngineStats } from '../api/stats.ts'
import type { Tier } from '../api/tiers.ts'
import type { Vocabulary } from '../api/vocabulary.ts'
import type { ChosenLogprobs } from '../core/sampling/logprobs.ts'
import type { ReplyText } from '../core/sampling/reply-text.ts'
import type { TokenChooser } from '../core/sampling/token-chooser.ts'
import type { Job, Phase } from '../core/schedule/scheduler.ts'
import type { Sequence } from '../core/sequences/sequence.ts'
import type { SequenceTable } from '../core/sequences/sequence-table.ts'
import type { Proposer } from '../proposers/proposer.ts'
import type { LookaheadPlan } from '../proposers/skim.ts'
import type { FormerLife } from './former-life.ts'
import type { InputPrefill } from './input-prefill.ts'
import type { Outbox } from './outbox.ts'
import { Reply } from './reply.ts'
import type { ReplySink } from './reply-stream.ts'
import { type OnGuess, Tail } from './tail.ts'
import { tokenLogprobs } from './token-logprobs.ts'

/** What a request asks for, checked and tokenised. */
export interface RequestPlan {
  readonly prompt: readonly number[]
  /** Most tokens of the reply. */
  readonly maxTokens: number
  readonly minTokens: number
  readonly stop: readonly string[]
  /** Chooses its tokens, wherever that happens. */
  readonly chooser: TokenChooser
  /** Bytes of a token in the reply's text. Default: the vocabulary's. */
  readonly bytesOf?: (token: number) => Uint8Array
  readonly policy: Policy
  /** Policy `tolerant`: a shown token stays when the full model holds it this likely, as a share of its best token. */
  readonly alpha: number
  /** Guesses are shown, and under policy `confident` final, from this stability on ... */
  readonly minStability: number
  /** ... and the reply's first word, where the client has named no bound, from this one on. */
  readonly firstStability?: number
  /** The log-probabilities of the prompt's tokens are told, and how many of the likeliest ones with each. */
  readonly promptLogprobs?: number | undefined
  /** Bytes of a token as it stands in the prompt. Default: the vocabulary's. */
  readonly promptBytesOf?: (token: number) => Uint8Array
  readonly tier: Tier
  /** Requests of one namespace share rows. */
  readonly cacheNamespace: string
  readonly shares: boolean
  /** Its reader hears how much of the prompt is computed. Default false. */
  readonly tellsProgress?: boolean
  /** Who may guess. */
  readonly allowed: ReadonlySet<ProposerName>
  /** Proposers of later tokens that cost nearly nothing to ask. */
  readonly proposers: readonly Proposer[]
  /** How replies to similar prompts began: a guess before the first layer. Everybody's replies are learnt from. */
  readonly opening: Proposer | undefined
  /** Where a lookahead may be taken, in order. */
  readonly lookaheads: readonly LookaheadPlan[]
  /** The open text it answers: its rows are taken over. */
  readonly input?: InputPrefill | undefined
  /** It answers a text that is not final. */
  readonly early?: EarlyTerms | undefined
  /** An engine that is gone has begun it: it goes on from there. */
  readonly formerLife?: FormerLife | undefined
  readonly sink: ReplySink
}

/** A reply to a text that is not final: revocable work, dropped when anybody else needs the place. */
export interface EarlyTerms {
  /** Tokens after which it waits until the text is final. */
  readonly budget: number
  readonly onDropped: () => void
}

/** What a request needs of the loop that serves it. */
export interface RequestHost {
  readonly table: SequenceTable
  readonly stats: EngineStats
  readonly vocabulary: Vocabulary
  readonly contextLength: number
  /** Milliseconds. */
  readonly now: () => number
  /** Where its events wait until they may go out. */
  readonly outbox: Outbox
  /** Told of the guesses of each request. */
  readonly onGuess?: (request: ActiveRequest, ...guess: Parameters<OnGuess>) => void
  /** The request's sink threw. */
  readonly onSinkFault: (request: ActiveRequest, error: unknown) => void
}

/** One request between its arrival and its last event. */
export class ActiveRequest implements Job {
  readonly plan: RequestPlan
  readonly reply: Reply
  readonly tail: Tail
  readonly arrival: number
  maxTokens: number
  /** Nobody reads fast enough: it computes nothing until that changes, and gives its place to whoever wants it. */
  held = false
  /** Tokens of the prompt whose log-probabilities were told. */
  #scored = 0
  readonly #host: RequestHost
  #early: EarlyTerms | undefined

  // The scheduler's own.
  phase: Phase = 'waiting'
  sequence: Sequence | undefined
  cached = 0
  resume: readonly number[] | undefined

  constructor(plan: RequestPlan, host: RequestHost) {
    this.plan = plan
    this.#host = host
    this.maxTokens = plan.maxTokens
    this.arrival = host.now()
    this.#early = plan.early
    const { vocabulary } = host
    this.reply = new Reply({
      bytesOf: plan.bytesOf ?? ((token) => vocabulary.bytesOf(token)),
      isEnd: (token) => vocabulary.isEndOfGeneration(token),
      stop: plan.stop,
      minTokens: plan.minTokens,
      provisional: showsGuesses(plan.policy),
      minStability: plan.minStability,
      firstStability: plan.firstStability,
      emit: (event, tokens) => this.#emit(event, tokens),
      now: host.now,
    })
    if (plan.formerLife) this.#goOn(plan.formerLife)
    const onGuess = host.onGuess && ((...guess: Parameters<OnGuess>) => host.onGuess?.(this, ...guess))
    this.tail = new Tail(host.table, host.stats, this.reply.timings, this, onGuess)
  }

  /** Why it had ended in its former life, where it had: only its last event was not told any more. */
  endedBefore: FinishReason | undefined

  #goOn(life: FormerLife): void {
    this.#scored = life.scored
    this.resume = [...this.prompt, ...life.tokens]
    this.endedBefore =
      this.reply.goOn(life) ??
      // Who wants no reply waits for its prompt.
      (this.replyTokens > 0 && this.replyTokens >= this.maxTokens
        ? 'length'
        : this.resume.length >= this.#host.contextLength
          ? 'context'
          : undefined)
  }

  get prompt(): readonly number[] {
    return this.plan.prompt
  }

  get cacheNamespace(): string {
    return this.plan.cacheNamespace
  }

  get tier(): Tier {
    return this.plan.tier
  }

  get wantsExit(): boolean {
    return this.plan.allowed.has('exit')
  }

  get shares(): boolean {
    return this.plan.shares
  }

  get revocable(): boolean {
    return this.#early !== undefined
  }

  /** The terms of a reply whose text is not final. */
  get early(): EarlyTerms | undefined {
    return this.#early
  }

  /** The text is final: from now on it is a request like any other, and begins now. What is there of its prompt was ready. */
  becomeFinal(): void {
    this.#early = undefined
    this.reply.restart()
    const { length } = this.prompt
    if (this.phase === 'over') this.cached = length
    else if (this.sequence) this.cached = Math.max(this.cached, Math.min(length, this.sequence.computed.at(-1)!))
    this.reply.timings.promptN = length - this.cached
  }

  get scoresFrom(): number {
    if (this.plan.promptLogprobs === undefined || this.#scored >= this.prompt.length) return Number.POSITIVE_INFINITY
    return Math.max(0, this.#scored - 1)
  }

  /** What rows from `scoresFrom` on held of the tokens after them is told. The first token is told with the first of them. */
  tellScores(scores: readonly ChosenLogprobs[]): void {
    const bytesOf = this.plan.promptBytesOf ?? ((token) => this.#host.vocabulary.bytesOf(token))
    const from = this.#scored
    const tokens: PromptToken[] = scores.map((score) => tokenLogprobs(score, bytesOf))
    const first = this.prompt[0]!
    if (from === 0) tokens.unshift({ token: first, logprob: null, bytes: [...bytesOf(first)], top: [] })
    this.#scored += tokens.length
    if (tokens.length > 0) this.#emit({ type: 'prompt', from, tokens })
  }

  /** Tokens that are committed. */
  get replyTokens(): number {
    const { sequence } = this
    return sequence
      ? sequence.committed - sequence.prompt
      : (this.resume?.length ?? this.prompt.length) - this.prompt.length
  }

  /** The reply up to a token of its sequence; by default the committed reply. */
  replyUpTo(end = this.sequence!.committed): ReplyText {
    const { tokens, prompt, committed } = this.sequence!
    return { tokens, start: prompt, end, committed }
  }

  /**
   * A token is final.
   * @returns why the reply ends with it, if it does
   */
  commit(token: number, logprobs?: ChosenLogprobs): FinishReason | undefined {
    const ended = this.reply.commit(token, logprobs)
    if (ended) return ended
    if (this.replyTokens >= this.maxTokens) return 'length'
    return this.sequence!.committed >= this.#host.contextLength ? 'context' : undefined
  }

  /** Rows of its prompt are there: says so to a reader who wants to hear it before the reply begins. */
  promptAdvanced(): void {
    if (!this.plan.tellsProgress || this.replyTokens > 0) return
    const computedTokens = Math.min(this.prompt.length, this.sequence!.computed.at(-1)!)
    this.reply.advance({ promptTokens: this.prompt.length, cachedTokens: this.cached, computedTokens })
  }

  /** Emits what was committed, and what of the tail may be shown. */
  flush(): void {
    this.reply.flush()
    this.reply.show(this.tail.guesses, this.tail.source ?? 'exit')
  }

  /** Its guesses are gone. */
  dropGuesses(): void {
    this.tail.clear()
    this.reply.show([], 'exit')
  }

  /** It is complete: its last event goes out. */
  finish(reason: FinishReason): void {
    this.tail.clear()
    this.reply.finish(reason, { promptTokens: this.prompt.length, cachedTokens: this.cached })
    this.#close()
  }

  fail(error: unknown): void {
    this.tail.clear()
    this.#close(error)
  }

  #emit(event: GenerateEvent, tokens?: readonly number[]): void {
    this.#tell((sink) => sink.push(event, tokens))
  }

  #close(error?: unknown): void {
    this.plan.chooser[Symbol.dispose]()
    this.#tell((sink) => sink.close(error))
  }

  /** Whoever reads may throw: that is the end of this request, and of no other. */
  #tell(call: (sink: ReplySink) => void): void {
    this.#host.outbox.add(() => {
      try {
        call(this.plan.sink)
      } catch (error) {
        this.#host.onSinkFault(this, error)
      }
    })
  }
}
