import type { ProposerName } from './proposer-names.ts'

/**
 * Everything after the committed offset `base` (UTF-16 units) now reads `text`. An empty `text` takes the former tail
 * back. `rev` rises by one per event.
 */
export interface ProvisionalEvent {
  type: 'provisional'
  rev: number
  base: number
  text: string
  /** Number of tokens the text covers. */
  tokens: number
  /** Calibrated probability that the whole tail survives. */
  stability: number
  /** Who guessed it; `input`: a reply begun before the input was final. */
  source: ProposerName | 'input'
  /** Why a former text is taken back. `restart`: the engine that guessed it is gone, the reply goes on in another. */
  reason?: 'mismatch' | 'input_changed' | 'restart'
}

/** Committed text: never taken back. `text` is never empty and never ends inside a character. */
export interface DeltaEvent {
  type: 'delta'
  text: string
  /** Number of newly committed tokens (0 when held-back text is released). */
  tokens: number
  /** One entry for each of these tokens, where the request asks for them. */
  logprobs?: readonly TokenLogprobs[]
}

/** How likely the full model held a token, before any constraint, bias, penalty or temperature: a natural logarithm. */
export interface TokenLogprob {
  readonly token: number
  readonly logprob: number
  /** As they stand in text: they may begin or end inside a character. */
  readonly bytes: readonly number[]
}

/** A token of the reply, and those that the model held likeliest in its place. */
export interface TokenLogprobs extends TokenLogprob {
  /** Best first; as many as the request asks for. */
  readonly top: readonly TokenLogprob[]
}

/** A token of the prompt, and those that the model held likeliest in its place, after the tokens before it. */
export interface PromptToken extends Omit<TokenLogprobs, 'logprob'> {
  /** Null of the first one, which follows nothing. */
  readonly logprob: number | null
}

/** What the full model held of some tokens of the prompt, where the request asks for it (`promptLogprobs`). */
export interface PromptEvent {
  type: 'prompt'
  /** Index of the first of them in the prompt: where the last event of this kind ended. */
  from: number
  /** Bytes of control tokens are those of their names, such as `<s>`. */
  tokens: readonly PromptToken[]
}

/** How much of the prompt is computed, where the request asks for it: when it begins, and after every step of its prompt. */
export interface ProgressEvent {
  type: 'progress'
  promptTokens: number
  /** Of these, how many did not have to be computed. */
  cachedTokens: number
  /** How many are there now, those included. Less than before when the request had to give way. */
  computedTokens: number
  /** Milliseconds since the first row of the request ran. */
  ms: number
}

export type FinishReason = 'stop' | 'length' | 'context' | 'cancelled'

export interface Usage {
  promptTokens: number
  completionTokens: number
  /** Prompt tokens that did not have to be computed. */
  cachedTokens: number
  acceptedPredictionTokens: number
  rejectedPredictionTokens: number
}

/** Milliseconds since the request was accepted unless said otherwise; `null` where the moment never came. */
export interface Timings {
  /** Until the first row of this request ran. */
  queueMs: number
  /** Until the prompt left the last stage. */
  promptMs: number | null
  /** First text of any kind. */
  provisionalMs: number | null
  /** First moment after which the first shown token was never withdrawn. */
  stableMs: number | null
  /** First committed text. */
  committedMs: number | null
  /** From the first committed token to the last (a duration). */
  predictedMs: number
  /** Rows of the prompt that were computed. */
  promptN: number
  predictedN: number
  /** Draft tokens that were appended to the tail, confirmed, and rolled back. */
  draftedN: number
  acceptedN: number
  rejectedN: number
  /** Shown provisional tails that had to be taken back. */
  retractedN: number
  /** Committed tokens that the full model would not have chosen (policy `tolerant`). */
  toleratedN: number
  /** Committed tokens that an exit said and the full model did not decide (policy `confident`). */
  earlyN: number
}

export interface DoneEvent {
  type: 'done'
  finishReason: FinishReason
  /** The stop string that ended the reply, where one did. */
  stopString?: string
  usage: Usage
  timings: Timings
}

export type GenerateEvent = PromptEvent | ProgressEvent | ProvisionalEvent | DeltaEvent | DoneEvent
