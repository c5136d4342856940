import type { FinishReason } from './events.ts'
import type { ProposerName } from './proposer-names.ts'
import type { TierName } from './tiers.ts'

// What an engine tells of its work to somebody who watches it. Moments are milliseconds on the clock of the engine's
// process; requests are numbered as the watcher comes to know them, open texts among them. Texts are those of the
// watcher's own namespace: of other requests only numbers are told.

/** Rows [from, to) of one text in a step; of these, [from, valid) were still wanted when it ended. */
export interface WatchedRows {
  readonly request: number
  /** `input`: of a text that is still being written. `guess`: rows that verify guesses. */
  readonly kind: 'input' | 'prompt' | 'reply' | 'guess' | 'lookahead' | 'alternative'
  readonly from: number
  readonly to: number
  readonly valid: number
  /** Their tokens; of many, the first and last few. */
  readonly text?: string
}

/** A step is over. */
export interface WatchedStep {
  readonly type: 'step'
  /** When it began, and how long it ran. */
  readonly at: number
  readonly ms: number
  readonly stage: number
  readonly device: number
  readonly result: 'done' | 'aborted' | 'full' | 'failed'
  readonly rows: readonly WatchedRows[]
}

/** A request got a place, lost it for a while, or is over. */
export interface WatchedRequest {
  readonly type: 'request'
  readonly at: number
  readonly request: number
  readonly state: 'began' | 'preempted' | 'over'
  readonly tier: TierName
  readonly promptTokens: number
  /** Of these, how many did not have to be computed. */
  readonly cachedTokens: number
  /** It answers a text that is not final. */
  readonly early: boolean
  readonly reason?: FinishReason | 'failed' | 'dropped'
}

/** Tokens were guessed. */
export interface WatchedGuess {
  readonly type: 'guess'
  readonly at: number
  readonly request: number
  readonly source: ProposerName
  /** Per token: the calibrated probability that it survives, if those before it do. */
  readonly stabilities: readonly number[]
  readonly tokens?: readonly string[]
}

/** A token was decided. */
export interface WatchedToken {
  readonly type: 'token'
  readonly at: number
  readonly request: number
  /** Whether the first guess was right; undefined where there was none. */
  readonly guessed?: boolean
  /** Who guessed it, and how sure that was. */
  readonly source?: ProposerName
  readonly stability?: number
  /** Guesses that went with it, when it was wrong. */
  readonly rejected?: number
  readonly text?: string
  /** What the model held of it, and for likeliest, 0 to 1; as many as the watcher asked for. */
  readonly probability?: number
  readonly others?: readonly { readonly text: string; readonly probability: number }[]
}

/** So many records are missing here: there were more than may be told. */
export interface WatchedGap {
  readonly type: 'gap'
  readonly records: number
}

/** Another engine tells from here on: its clock and its numbers begin anew. */
export interface WatchedRestart {
  readonly type: 'restart'
}

export type WatchRecord = WatchedStep | WatchedRequest | WatchedGuess | WatchedToken | WatchedGap | WatchedRestart

export interface WatchOptions {
  /** Texts are told of requests with this `cacheSalt`. Default ''. */
  readonly namespace?: string
  /** How many likeliest tokens are told with every decided one, at most 8. Default 0: it costs a look at all logits. */
  readonly others?: number
}

/** Told what was done since the last call. It does not throw. */
export type Watcher = (records: readonly WatchRecord[]) => void
