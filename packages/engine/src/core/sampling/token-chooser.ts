import type { ConstraintState } from '../../api/constraint.ts'
import { IncipitError } from '../../api/errors.ts'
import type { Sampling } from '../../api/request.ts'
import type { Penalties } from '../../api/validation.ts'
import { allowedLength } from './allowed-length.ts'
import { type ChosenLogprobs, topLogprobs } from './logprobs.ts'
import { ReplyState } from './reply-state.ts'
import type { ReplyText } from './reply-text.ts'
import { choose, isTypical, probabilityOf, type TokenProbability, topK, topProbability } from './sample.ts'
import { argmax } from './softmax.ts'
import { maskLogits } from './token-mask.ts'

export interface TokenChooserOptions {
  readonly sampling: Sampling
  /** The prompt's tokens: noise is a function of the position, and repetition is counted from the prompt on. */
  readonly prompt: readonly number[]
  readonly constraint?: ConstraintState | undefined
  /** By token id. */
  readonly logitBias?: ReadonlyMap<number, number>
  readonly penalties?: Penalties
  /** The reply does not end by itself before it has so many tokens ... */
  readonly minTokens?: number
  /** ... which is when one of these is chosen. */
  readonly endTokens?: readonly number[]
  /** Number of likeliest tokens that are told of with every decision; undefined: none, and no probability either. */
  readonly logprobs?: number | undefined
}

/** What is asked for beside the token. */
export interface Wanted {
  /** How probable the chosen token is. */
  readonly probability?: boolean
  /** Other likely tokens, at most so many. */
  readonly others?: number
  /** What the full model says of this token: `TokenChooserOptions.logprobs`. */
  readonly logprobs?: boolean
  /** A token that is shown already is taken when it has at least `alpha` times the probability of the best one. */
  readonly tolerate?: { readonly token: number; readonly alpha: number } | undefined
}

/** A chosen token, and what was asked for. */
export interface Choice {
  readonly token: number
  /** 0 to 1, at temperature 1 of what the constraint allows. */
  readonly probability?: number
  readonly others?: readonly TokenProbability[]
  readonly logprobs?: ChosenLogprobs
  /** The token was tolerated: another one would have been chosen. */
  readonly tolerated?: boolean
}

/** Code that a caller handed in, such as a constraint, threw: its own request fails, nobody else's. */
export class CallerFault extends Error {
  constructor(cause: unknown) {
    super(`code of the caller threw: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    this.name = 'CallerFault'
  }
}

const noPenalties: Penalties = { frequency: 0, presence: 0, repetition: 1 }

/**
 * Chooses the tokens of one request, wherever that happens: what the full model decides, what a lookahead or an exit
 * guesses, what a draft model drafts. Constraint, then bias, then penalties, then the end that may not come yet, then the
 * choice itself (sample.ts). A pure function of (logits, reply so far): speculation may ask for any place in any order.
 */
export class TokenChooser implements Disposable {
  readonly sampling: Sampling
  readonly #prompt: readonly number[]
  readonly #state: ReplyState
  readonly #bias: ReadonlyMap<number, number>
  readonly #penalties: Penalties
  readonly #minTokens: number
  readonly #endTokens: readonly number[]
  readonly #logprobs: number | undefined
  /** Nothing but sampling: then the reply before need not be followed. */
  readonly #plain: boolean
  /** A constraint and nothing else, and what is chosen without it is chosen with it as well, if it is allowed. */
  readonly #checkable: boolean
  readonly #repeats: boolean
  #promptTokens: ReadonlySet<number> | undefined
  /** Logits that were changed, as they were before. */
  readonly #before = new Map<number, number>()

  constructor(options: TokenChooserOptions) {
    this.sampling = options.sampling
    this.#prompt = options.prompt
    this.#bias = options.logitBias ?? new Map()
    this.#penalties = options.penalties ?? noPenalties
    const { window } = this.#penalties
    this.#state = new ReplyState(
      options.constraint,
      window === undefined ? undefined : { prompt: options.prompt, length: window },
    )
    this.#minTokens = options.minTokens ?? 0
    this.#endTokens = options.endTokens ?? []
    this.#logprobs = options.logprobs
    const { frequency, presence, repetition } = this.#penalties
    this.#repeats = frequency !== 0 || presence !== 0 || repetition !== 1
    const shapes = this.#bias.size > 0 || this.#repeats || this.#minTokens > 0
    this.#plain = !options.constraint && !shapes
    // What top-k, top-p and min-p keep depends on what a mask has left.
    const { temperature, topK, topP, minP } = options.sampling
    const keepsAll = !(temperature > 0) || (topK <= 0 && topP >= 1 && minP <= 0)
    this.#checkable = options.constraint?.allowedLength !== undefined && !shapes && keepsAll
  }

  /** Whether the reply must have some form. */
  get constrained(): boolean {
    return this.#state.constraint !== undefined
  }

  /**
   * The token that these logits choose after `reply`.
   * @param logits one row, which is changed
   * @throws CallerFault when the constraint does
   */
  choose(logits: Float32Array, reply: ReplyText, wanted: Wanted = {}): Choice {
    const logprobs = wanted.logprobs && this.#logprobs !== undefined ? topLogprobs(logits, this.#logprobs) : undefined
    this.#before.clear()
    const position = this.#prompt.length + reply.end - reply.start
    const { tolerate } = wanted
    if (this.#checkable && !wanted.probability && wanted.others === undefined && !tolerate) {
      // A check takes a third of a mask, and four in five of what the model wants to say are allowed.
      const token = choose(logits, this.sampling, position)
      if (this.allowedLength([token], reply) === 1) {
        return {
          token,
          ...(logprobs && { logprobs: { token, logprob: logprobs.of(logits[token]!), top: logprobs.top } }),
        }
      }
    }
    if (!this.#plain) this.#shape(logits, reply)
    const best = wanted.probability ? topProbability(logits) : undefined
    const own = best && !(this.sampling.temperature > 0) ? best.token : choose(logits, this.sampling, position)
    const tolerated =
      tolerate !== undefined && own !== tolerate.token && isTypical(logits, tolerate.token, tolerate.alpha)
    const token = tolerated ? tolerate.token : own
    return {
      token,
      ...(best && { probability: best.token === token ? best.probability : probabilityOf(logits, token) }),
      ...(wanted.others !== undefined && { others: topK(logits, wanted.others) }),
      ...(logprobs && {
        logprobs: { token, logprob: logprobs.of(this.#before.get(token) ?? logits[token]!), top: logprobs.top },
      }),
      ...(tolerated && { tolerated }),
    }
  }

  /**
   * How many of these tokens, in a row, may follow `reply`: a guess beyond them is wrong for certain.
   * @throws CallerFault when the constraint does
   */
  allowedLength(tokens: readonly number[], reply: ReplyText): number {
    const { constraint } = this.#state
    if (constraint === undefined) return tokens.length
    return calling(() => {
      this.#state.follow(reply)
      return allowedLength(constraint, tokens)
    })
  }

  /**
   * Tokens that must follow `reply`.
   * @throws CallerFault when the constraint does
   */
  forced(reply: ReplyText): readonly number[] {
    const { constraint } = this.#state
    if (constraint === undefined) return []
    return calling(() => {
      this.#state.follow(reply)
      return constraint.forced()
    })
  }

  /** The reply is over. */
  [Symbol.dispose](): void {
    this.#state.constraint?.[Symbol.dispose]?.()
  }

  /** Everything that changes logits before a token is chosen from them. */
  #shape(logits: Float32Array, reply: ReplyText): void {
    calling(() => {
      this.#state.follow(reply)
      maskLogits(logits, this.#state.constraint?.mask())
    })
    for (const [token, bias] of this.#bias)
      if (token < logits.length) this.#change(logits, token, logits[token]! + bias)
    if (this.#repeats) this.#penalise(logits)
    if (reply.end - reply.start < this.#minTokens) this.#forbidEnd(logits)
  }

  #penalise(logits: Float32Array): void {
    const { frequency, presence, repetition, window } = this.#penalties
    const { counts } = this.#state
    const scale = (token: number) => {
      const logit = logits[token]!
      if (token < logits.length) this.#change(logits, token, logit > 0 ? logit / repetition : logit * repetition)
    }
    if (repetition !== 1) for (const token of window === undefined ? this.#said() : counts.keys()) scale(token)
    if (frequency === 0 && presence === 0) return
    for (const [token, count] of counts) {
      if (token < logits.length) this.#change(logits, token, logits[token]! - frequency * count - presence)
    }
  }

  /** The tokens of the prompt and of the reply, each once. */
  *#said(): Iterable<number> {
    this.#promptTokens ??= new Set(this.#prompt)
    yield* this.#promptTokens
    for (const token of this.#state.counts.keys()) if (!this.#promptTokens.has(token)) yield token
  }

  /** Unless nothing else may follow: a constraint that is fulfilled goes first. */
  #forbidEnd(logits: Float32Array): void {
    const ends = this.#endTokens.filter((token) => token < logits.length)
    const kept = ends.map((token) => logits[token]!)
    for (const token of ends) this.#change(logits, token, Number.NEGATIVE_INFINITY)
    if (argmax(logits) >= 0) return
    for (const [i, token] of ends.entries()) logits[token] = kept[i]!
  }

  #change(logits: Float32Array, token: number, logit: number): void {
    if (!this.#before.has(token)) this.#before.set(token, logits[token]!)
    logits[token] = logit
  }
}

/** Asks the constraint. */
function calling<T>(call: () => T): T {
  try {
    return call()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new CallerFault(new IncipitError('constraint_failed', `the constraint failed: ${why}`, { cause }))
  }
}
