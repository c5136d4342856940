import type { TierName } from '../api/tiers.ts'
import type { Outcome, ReplyRecord } from './outcome.ts'
import type { MachineProfile } from './profile.ts'
import type { KindName } from './workload.ts'

/** ms. */
export interface Percentiles {
  readonly p50: number
  readonly p95: number
  readonly p99: number
}

export interface KindReport {
  readonly kind: KindName
  readonly tier: TierName
  readonly replies: number
  readonly ttft: Percentiles
  readonly itl: Percentiles
  readonly goodShare: number
}

/** What a simulation says, in numbers. */
export interface SimulationReport {
  readonly profile: string
  readonly replies: number
  readonly seconds: number
  /**
   * From arrival, ms. `committed`: to the first token that the full model decided; `stable`: to the first word that was
   * shown and stayed; `provisional`: to the first word that was shown, right or wrong.
   */
  readonly ttft: { readonly committed: Percentiles; readonly stable: Percentiles; readonly provisional: Percentiles }
  /** Between two moments at which a reply grew, ms. */
  readonly itl: Percentiles
  /** From arrival to the last token, ms. */
  readonly replyMs: Percentiles
  /** Replies whose stable TTFT and mean time per further token kept their tier's bounds. */
  readonly good: { readonly share: number; readonly perSecond: number }
  readonly repliesPerSecond: number
  readonly replyTokensPerSecond: number
  readonly promptTokensPerSecond: number
  /** Share of prompt tokens that did not have to be computed. */
  readonly reusedShare: number
  /** Per device: share of the time during which it ran. */
  readonly utilisation: readonly number[]
  readonly steps: number
  readonly rows: {
    readonly run: number
    readonly kept: number
    readonly drafts: number
    readonly looks: number
    readonly again: number
    readonly wastedShare: number
  }
  readonly drafts: { readonly offered: number; readonly accepted: number }
  readonly preemptions: number
  /** Rent of the machine while the simulation lasted, per 1,000 replies and per 1,000 good ones. */
  readonly dollarsPer1000: { readonly replies: number; readonly goodReplies: number }
  readonly kinds: readonly KindReport[]
}

/** Whether a reply kept the bounds of its tier: its first word that stayed, and its mean time per further token. */
export function isGood({ tier, arrival, stable, committed, end, replyTokens }: ReplyRecord): boolean {
  const perToken = (end - committed) / Math.max(1, replyTokens - 1)
  return stable - arrival <= tier.ttftMs && perToken <= tier.itlMs
}

export function report(profile: MachineProfile, outcome: Outcome): SimulationReport {
  const { replies, elapsedMs, rows, kept, waste } = outcome
  const sum = (of: (reply: ReplyRecord) => number) => replies.reduce((total, reply) => total + of(reply), 0)
  const seconds = elapsedMs / 1000
  const good = replies.filter(isGood).length
  const rent = (profile.dollarsPerHour * seconds) / 3600
  const kinds = [...new Set(replies.map(({ kind }) => kind))].sort()
  return {
    profile: profile.name,
    replies: replies.length,
    seconds,
    ttft: {
      committed: percentiles(replies.map(({ arrival, committed }) => committed - arrival)),
      stable: percentiles(replies.map(({ arrival, stable }) => stable - arrival)),
      provisional: percentiles(
        replies.map(({ arrival, provisional, committed }) => (provisional ?? committed) - arrival),
      ),
    },
    itl: percentiles(replies.flatMap(({ gaps }) => gaps)),
    replyMs: percentiles(replies.map(({ arrival, end }) => end - arrival)),
    good: { share: good / replies.length, perSecond: good / seconds },
    repliesPerSecond: replies.length / seconds,
    replyTokensPerSecond: sum(({ replyTokens }) => replyTokens) / seconds,
    promptTokensPerSecond: sum(({ promptTokens }) => promptTokens) / seconds,
    reusedShare: sum(({ cachedTokens }) => cachedTokens) / sum(({ promptTokens }) => promptTokens),
    utilisation: outcome.busyMs.map((ms) => ms / elapsedMs),
    steps: outcome.steps,
    rows: { run: rows, kept, ...waste, wastedShare: (rows - kept) / rows },
    drafts: { offered: outcome.drafted, accepted: outcome.accepted },
    preemptions: outcome.preemptions,
    dollarsPer1000: { replies: (1000 * rent) / replies.length, goodReplies: (1000 * rent) / good },
    kinds: kinds.map((kind) => {
      const those = replies.filter((reply) => reply.kind === kind)
      return {
        kind,
        tier: those[0]!.tier.name,
        replies: those.length,
        ttft: percentiles(those.map(({ arrival, stable }) => stable - arrival)),
        itl: percentiles(those.flatMap(({ gaps }) => gaps)),
        goodShare: those.filter(isGood).length / those.length,
      }
    }),
  }
}

/** Nearest-rank percentiles; NaN of an empty list. */
export function percentiles(numbers: readonly number[]): Percentiles {
  const sorted = [...numbers].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
}
