import type { GrammarHook } from '../proposers/grammar.ts'
import type { PredictedContent } from '../proposers/prediction.ts'
import type { TierName } from './tiers.ts'

/** One message of a conversation, handed to the model's own chat template as it is. */
export interface ChatMessage {
  role: string
  content: string
  name?: string
}

/**
 * What may be shown. `committed`: only text the full model decided. `provisional`: additionally a revisable tail.
 * Committed text is the same under both.
 *
 * Two more are lossy, bounded, and only for those who ask. `tolerant`: as `provisional`, but a shown token stays when the
 * full model gives it at least `alpha` times the probability of its best one ("typical acceptance", Cai et al. 2024,
 * Medusa, section 3.3.3). `confident`: an exit that is sure enough (`minStability`) is final; the upper layers compute
 * its rows later, together with those that follow.
 */
export type Policy = 'committed' | 'provisional' | 'tolerant' | 'confident'

/** Who may append guesses to the tail. */
export type ProposerName =
  | 'skim'
  | 'exit'
  | 'lookup'
  | 'opening'
  | 'prediction'
  | 'grammar'
  | 'draft'
  | 'heads'
  | 'experts'
  | 'mtp'

/**
 * How a token is chosen from logits. The rule is a pure function of (logits, seed, position), so speculation never
 * changes the text: the Gumbel-max trick, see `flow/sample.ts`.
 */
export interface Sampling {
  /** 0 is greedy. Default 0. */
  temperature: number
  /** Keep the smallest set of tokens whose probability sums to at least this. 1 is off. Default 1. */
  topP: number
  /** Keep the k most probable tokens. 0 is off. Default 0. */
  topK: number
  /** Drop tokens less probable than this share of the best one. 0 is off. Default 0. */
  minP: number
  /** Any integer; the same seed gives the same text. Default 0. */
  seed: number
}

/** A request: exactly one of `prompt` and `messages`. */
export interface GenerateRequest extends Partial<Sampling> {
  /** Raw completion: text (special tokens are plain text) or token ids. */
  prompt?: string | readonly number[]
  /** Chat, rendered with the model's template. */
  messages?: readonly ChatMessage[]
  /** Most tokens of the reply. Default: until the context is full. */
  maxTokens?: number
  /** The reply ends before the first of these; they are not part of the text. */
  stop?: readonly string[]
  policy?: Policy
  /** How soon the first word is wanted, and how much others may be kept waiting for it. Default `chat`. */
  tier?: TierName
  /**
   * Calibrated probability of survival below which a guess is not shown, or under `confident` is not final. Default 0.9;
   * 0 shows every guess.
   */
  minStability?: number
  /** Policy `tolerant`: share of the best token's probability that keeps a shown token. Default 0.5. */
  alpha?: number
  /** What the reply is expected to be: an editor knows most of an edited file before. Where it is right it is fast. */
  prediction?: PredictedContent | string
  /** What the reply must look like. */
  grammar?: GrammarHook
  /** Proposers that may run. Default: all that this model has. An empty list switches speculation off. */
  proposers?: readonly ProposerName[]
  /** Only requests with the same salt share computed rows: one tenant cannot time another's prompts. Default ''. */
  cacheSalt?: string
  /**
   * Use rows that others computed of the same beginning, and leave one's own to others. Default true. Without it the
   * prompt is computed whole: the same request then always runs the same batches.
   */
  cachePrompt?: boolean
  signal?: AbortSignal
}

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
  reason?: 'mismatch' | 'input_changed'
}

/** Committed text: never taken back. `text` is never empty and never ends inside a character. */
export interface DeltaEvent {
  type: 'delta'
  text: string
  /** Number of newly committed tokens (0 when held-back text is released). */
  tokens: number
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

export type GenerateEvent = ProvisionalEvent | DeltaEvent | DoneEvent

/** What `Engine.info` says about the loaded model. */
export interface ModelInfo {
  /** File name without `.gguf`. */
  name: string
  path: string
  architecture: string
  /** For people, e.g. `llama, 135M parameters, Q4_1`. */
  description: string
  layers: number
  embedding: number
  vocabulary: number
  /** Most tokens of one sequence, prompt and reply together. */
  contextLength: number
  hasChatTemplate: boolean
  /** One KV cache for all sequences, or one for each of them. */
  cache: 'unified' | 'separate'
  /** Layer ranges of the stages, e.g. [[0, 8], [8, 30]]; one range when the model is not cut. */
  stages: readonly (readonly [number, number])[]
  /** Why the model runs as one stage although a cut was wanted. */
  cutRefused?: string
  /** Which proposers can run on this model, and for those that cannot, why. */
  proposers: Record<ProposerName, { available: boolean; note?: string }>
}

/** A log line of the engine or of llama.cpp. */
export type Log = (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void

export interface EngineOptions {
  /** Most tokens of one sequence. Default: the model's training context, at most 8192. */
  contextLength?: number
  /** KV cells shared by all sequences. Default: `contextLength`. */
  cells?: number
  /** Most requests that run at once; further ones wait. Default 8. */
  parallel?: number
  /**
   * Compute threads. Default: the machine's cores. A list gives every stage a device of its own, with so many threads:
   * then the stages run at the same time, as on several processors.
   */
  threads?: number | readonly number[]
  /**
   * Layers before which the model is cut into stages, e.g. [8]. `'auto'` cuts only where a fitted exit exists and pays;
   * `'none'` never. Default `'auto'`.
   */
  cut?: 'auto' | 'none' | readonly number[]
  /** A smaller GGUF model with the same vocabulary, which drafts for this one (proposer `draft`). */
  draft?: string
  /** A mixture of experts drafts for itself with this many active experts (proposer `experts`). */
  experts?: number
  /** A file of trained heads on the exit's state, which guess the tokens after the exit's (proposer `heads`). */
  heads?: string
  /** Where stage files and calibrations live. Default: the per-user cache directory. */
  cacheDir?: string
  log?: Log
}
