import type { Tier } from '../api/tiers.ts'
import type { KindName } from './workload.ts'

/** What became of one request. Times are ms on the virtual clock. */
export interface ReplyRecord {
  readonly kind: KindName
  readonly tier: Tier
  readonly arrival: number
  readonly promptTokens: number
  /** Prompt tokens that did not have to be computed. */
  readonly cachedTokens: number
  readonly replyTokens: number
  /** The first guess was shown; undefined when none was. */
  readonly provisional: number | undefined
  /** The first word that stayed was shown. */
  readonly stable: number
  /** The first committed token. */
  readonly committed: number
  readonly end: number
  /** Between two moments at which tokens were committed. */
  readonly gaps: readonly number[]
}

/** Rows that were run and did not last. */
export interface Waste {
  /** Rows of drafts that were rejected, or came after the reply's end. */
  drafts: number
  /** Rows of looks ahead: they are never kept, a right one only shows the first word sooner. */
  looks: number
  /** Rows that were computed before and lost their place. */
  again: number
}

export interface Outcome {
  readonly replies: readonly ReplyRecord[]
  readonly elapsedMs: number
  /** Per device: ms during which it ran. */
  readonly busyMs: readonly number[]
  readonly steps: number
  /** Rows that were run, over all stages: `kept` and those that were wasted. */
  readonly rows: number
  readonly kept: number
  readonly waste: Readonly<Waste>
  readonly drafted: number
  readonly accepted: number
  readonly preemptions: number
}
