import type { Constraint, ConstraintCompiler, ConstraintState } from '../api/constraint.ts'
import { IncipitError } from '../api/errors.ts'
import type { ModelInfo } from '../api/model-info.ts'
import { type ReasoningMarkers, reasoningAt } from '../api/reasoning.ts'
import type { GenerateRequest } from '../api/request.ts'
import { type CheckedRequest, normalise } from '../api/validation.ts'
import type { Vocabulary } from '../api/vocabulary.ts'
import type { HeadGuess } from '../core/executor.ts'
import { Beginning } from '../core/sampling/beginning.ts'
import { TokenChooser } from '../core/sampling/token-chooser.ts'
import type { Acceptances } from '../proposers/acceptances.ts'
import type { FirstWords } from '../proposers/first-words.ts'
import type { Openings } from '../proposers/opening.ts'
import { allowedProposers, createOpening, createProposers } from '../proposers/registry.ts'
import { promisedSurvival } from '../proposers/shown-bound.ts'
import { planLookaheads } from '../proposers/skim.ts'
import type { ActiveRequest, EarlyTerms, RequestPlan } from '../serving/active-request.ts'
import type { FormerLife } from '../serving/former-life.ts'
import type { InputPrefill } from '../serving/input-prefill.ts'
import type { ReplySink } from '../serving/reply-stream.ts'
import type { Tokenizer } from '../text/tokenizer.ts'
import { AfterReasoning, ReasoningTokens } from './after-reasoning.ts'
import { BoundedReasoning, endingOf } from './bounded-reasoning.ts'
import type { PromptTokenizer } from './prompt-tokenizer.ts'

/** What requests are planned with. */
export interface PlannerParts {
  readonly info: ModelInfo
  readonly vocab: Vocabulary &
    Pick<Tokenizer, 'tokenize' | 'specialText' | 'specialTexts'> & {
      readonly endTokens: readonly number[]
      /** Bytes of a token, control tokens by their names. */
      shownBytesOf(token: number): Uint8Array
    }
  readonly tokenizer: PromptTokenizer
  readonly acceptances: Acceptances
  readonly openings: Openings
  readonly firstWords: FirstWords
  readonly constraints: ConstraintCompiler | undefined
  /** How the model marks what it thinks, where it does. */
  readonly reasoning: ReasoningMarkers | undefined
  /** Most tokens of a prompt. */
  readonly maxPrompt: number
  /** Rows that attention computes together. */
  readonly tileRows: number
  /** What trained heads guess for a slot. */
  readonly headGuesses: (slot: number, index: number) => readonly HeadGuess[] | undefined
}

/** Tokens at a prompt's end that say whether the model is to think. */
const promptTail = 32

/** Where a request's events go, and what it goes on from. */
export interface PlanOptions {
  readonly sink: ReplySink
  readonly input?: InputPrefill
  readonly early?: EarlyTerms
  readonly formerLife?: FormerLife | undefined
}

/** Checks requests and prepares what it takes to serve them. */
export class RequestPlanner {
  readonly #parts: PlannerParts
  readonly #compilerVocabulary: Parameters<ConstraintCompiler>[1]
  #reasoning: ReasoningTokens | undefined

  constructor(parts: PlannerParts) {
    this.#parts = parts
    const { vocab } = parts
    let controls: ReadonlyMap<string, number> | undefined
    // The same object for all constraints: what a compiler makes of it is made once.
    this.#compilerVocabulary = {
      size: vocab.size,
      bytesOf: (token) => vocab.bytesOf(token),
      isEndOfGeneration: (token) => vocab.isEndOfGeneration(token),
      tokenize: inText(vocab),
      get controlTokens() {
        controls ??= new Map(vocab.specialTexts.map((text) => [text, vocab.tokenize(text, { special: true })[0]!]))
        return controls
      },
    }
  }

  /**
   * @param self the request that will be made of it
   * @throws IncipitError `invalid_request`, `context_overflow`, `chat_template`
   */
  plan(request: GenerateRequest, options: PlanOptions, self: () => ActiveRequest): RequestPlan {
    const { info, tokenizer, firstWords, maxPrompt, tileRows } = this.#parts
    const checked = normalise(request)
    const prompt = tokenizer.tokens(request)
    if (prompt.length === 0) throw new IncipitError('invalid_request', 'the prompt is empty', { param: 'prompt' })
    if (prompt.length > maxPrompt) {
      throw new IncipitError('context_overflow', `the prompt has ${prompt.length} tokens; at most ${maxPrompt} fit`)
    }
    if (checked.policy === 'confident' && !info.proposers.exit.available) {
      const why = info.proposers.exit.note
      throw new IncipitError('invalid_request', `policy confident needs an exit: ${why}`, { param: 'policy' })
    }
    const { tier, policy } = checked
    const namespace = request.cacheSalt ?? ''
    // Who wants no reply wants no guesses at it.
    const wanted = checked.maxTokens === 0 ? [] : checked.proposers
    const allowed = allowedProposers(wanted, policy, tier, info.proposers)
    const chooser = this.#chooser(checked, prompt, request)
    const proposerParts = this.#proposerParts(request, checked, chooser, self)
    // A lookahead is for somebody who waits for the first word.
    const looks = allowed.has('skim') && !options.early && !options.formerLife?.tokens.length
    return {
      ...options,
      prompt,
      chooser,
      ...(request.showSpecial && { bytesOf: this.#bytesShown }),
      maxTokens: checked.maxTokens,
      minTokens: checked.minTokens,
      stop: checked.stop,
      policy,
      alpha: checked.alpha,
      minStability: checked.minStability ?? promisedSurvival,
      ...(checked.minStability === undefined && { firstStability: firstWords.of(namespace).bound.value }),
      promptLogprobs: checked.promptLogprobs,
      promptBytesOf: this.#bytesShown,
      tier,
      cacheNamespace: namespace,
      shares: request.cachePrompt ?? true,
      tellsProgress: request.progress ?? false,
      allowed,
      proposers: createProposers(allowed, proposerParts),
      opening: checked.maxTokens === 0 ? undefined : createOpening(tier, info.proposers, proposerParts),
      lookaheads: looks ? planLookaheads(prompt.length, request.messages ? tokenizer.suffixLength : 0, tileRows) : [],
    }
  }

  #chooser(checked: CheckedRequest, prompt: readonly number[], request: GenerateRequest): TokenChooser {
    const { vocab } = this.#parts
    const logitBias = biasByToken(checked.logitBias, vocab)
    return new TokenChooser({
      sampling: checked.sampling,
      prompt,
      constraint: this.#constraint(checked, request.messages ? prompt : undefined),
      logitBias: request.ignoreEnd ? withoutEnds(logitBias, vocab.endTokens) : logitBias,
      penalties: checked.penalties,
      minTokens: checked.minTokens,
      endTokens: vocab.endTokens,
      logprobs: checked.logprobs,
    })
  }

  /**
   * The beginning of a text that must look so.
   * @throws IncipitError `invalid_request` for what cannot be compiled, or without a compiler
   */
  constraint(constraint: Constraint): ConstraintState {
    const { constraints } = this.#parts
    if (constraints === undefined) {
      const message = `constraint: '${constraint.type}' needs a compiler, and this engine was loaded without one`
      throw new IncipitError('invalid_request', message, { param: 'constraint' })
    }
    try {
      return constraints(constraint, this.#compilerVocabulary)
    } catch (cause) {
      if (cause instanceof IncipitError) throw cause
      const message = `constraint: ${cause instanceof Error ? cause.message : cause}`
      throw new IncipitError('invalid_request', message, { param: 'constraint', cause })
    }
  }

  /** @param chat the prompt of a conversation: the constraint is for the answer then, not for the reasoning before it */
  #constraint(
    { constraint, beginsWith, reasoningBudget: budget }: CheckedRequest,
    chat: readonly number[] | undefined,
  ): ConstraintState | undefined {
    const { vocab, reasoning } = this.#parts
    if (beginsWith !== '') return new Beginning(new TextEncoder().encode(beginsWith), vocab)
    if (constraint === undefined && budget === undefined) return undefined
    const answer = constraint && this.constraint(constraint)
    if (reasoning === undefined || chat === undefined) return answer
    this.#reasoning ??= new ReasoningTokens(reasoning, vocab)
    const tokens = this.#reasoning
    const at = reasoningAt(
      chat
        .slice(-promptTail)
        .map((token) => tokens.textOf(token))
        .join(''),
      reasoning,
    )
    if (at === 'closed') return answer
    // Channels are those of the reasoning, too.
    const whole = answer && constraint?.type !== 'channels' ? new AfterReasoning(answer, tokens, at) : answer
    if (budget === undefined) return whole
    const bound = {
      markers: reasoning,
      budget,
      ending: inText(vocab, { special: true })(endingOf(reasoning)),
      textOf: (token: number) => tokens.textOf(token),
      size: vocab.size,
    }
    return new BoundedReasoning(bound, whole, at === 'open' ? 'inside' : 'outside')
  }

  /** Bytes of a token in a text that has control tokens, too. */
  readonly #bytesShown = (token: number): Uint8Array => this.#parts.vocab.shownBytesOf(token)

  #proposerParts(
    request: GenerateRequest,
    { tier, sampling }: CheckedRequest,
    chooser: TokenChooser,
    self: () => ActiveRequest,
  ) {
    const { acceptances, openings, vocab, headGuesses } = this.#parts
    return {
      request,
      chooser,
      acceptances,
      openings,
      // A sampled reply says what nobody expects more often than a greedy one.
      kind: sampling.temperature > 0 ? `${tier.name}, sampled` : tier.name,
      ends: (token: number) => vocab.isEndOfGeneration(token),
      tokenize: (text: string) => vocab.tokenize(text),
      headGuesses: (index: number) => headGuesses(self().sequence!.slot, index),
    }
  }
}

/** @throws IncipitError `invalid_request` for an id that is none of this model's */
function biasByToken(
  biases: CheckedRequest['logitBias'],
  vocab: Pick<Tokenizer, 'tokenize'> & Pick<Vocabulary, 'size'>,
): ReadonlyMap<number, number> {
  const byToken = new Map<number, number>()
  for (const [named, bias] of biases) {
    const tokens = typeof named === 'string' ? vocab.tokenize(named) : [named]
    for (const token of tokens) byToken.set(token, bias)
  }
  const stranger = [...byToken.keys()].find((token) => token >= vocab.size)
  if (stranger === undefined) return byToken
  const message = `logitBias: token ${stranger} is outside the vocabulary of ${vocab.size}`
  throw new IncipitError('invalid_request', message, { param: 'logitBias' })
}

function withoutEnds(bias: ReadonlyMap<number, number>, ends: readonly number[]): ReadonlyMap<number, number> {
  return new Map([...bias, ...ends.map((token) => [token, Number.NEGATIVE_INFINITY] as const)])
}

/**
 * Tokens of text in the middle of other text. Some tokenizers put a space before everything they read: behind the end of a
 * line they do it there.
 */
function inText(
  vocab: Pick<Tokenizer, 'tokenize'>,
  options: { special?: boolean } = {},
): (text: string) => readonly number[] {
  const line = vocab.tokenize('\n')
  return (text) => {
    const tokens = vocab.tokenize(`\n${text}`, options)
    return line.every((token, i) => tokens[i] === token) ? tokens.slice(line.length) : vocab.tokenize(text, options)
  }
}
