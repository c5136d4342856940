// What the engine tells in the spelling of the wire protocol, which `incipit run --json` has too.
import type { FinishReason, ProgressEvent, ProvisionalEvent, Timings, Usage } from '@incipit/engine/api'

/** `usage` as OpenAI spells it. */
export interface WireUsage {
  prompt_tokens: number
  completion_tokens: number
  total_tokens: number
  prompt_tokens_details: { cached_tokens: number }
  completion_tokens_details: { accepted_prediction_tokens: number; rejected_prediction_tokens: number }
}

/** `timings`: moments in milliseconds since the request was accepted, `null` where one never came. */
export interface WireTimings {
  queue_ms: number
  prompt_ms: number | null
  provisional_ms: number | null
  stable_ms: number | null
  committed_ms: number | null
  /** A duration: from the first committed token to the last. */
  predicted_ms: number
  cache_n: number
  prompt_n: number
  predicted_n: number
  drafted_n: number
  accepted_n: number
  rejected_n: number
  retracted_n: number
  /** Committed tokens that are not the full model's own choice: kept by `tolerant`, said early by `confident`. */
  tolerated_n: number
  early_n: number
}

/** What a guess reads: everything after the committed offset `base` is `text`. */
export interface WireProvisional {
  rev: number
  base: number
  text: string
  tokens: number
  stability: number
  source: string
  reason?: string
}

/** `prompt_progress`, as llama-server has it: tokens of the prompt, those that were kept, and those that are there now. */
export interface WireProgress {
  total: number
  cache: number
  processed: number
  /** Milliseconds since the first of them was computed. */
  time_ms: number
}

export type WireFinishReason = 'stop' | 'length'

/** What a finished choice reports. */
export interface Account {
  usage: Usage
  timings: Timings
}

/**
 * The engine's reasons in OpenAI's words. A full context is a length limit too. `undefined` for a cancelled reply: no
 * word of OpenAI's stands for it.
 */
export function finishReason(reason: FinishReason): WireFinishReason | undefined {
  if (reason === 'cancelled') return undefined
  return reason === 'stop' ? 'stop' : 'length'
}

export function provisionalOf(event: ProvisionalEvent): WireProvisional {
  const { rev, base, text, tokens, stability, source, reason } = event
  return { rev, base, text, tokens, stability, source, ...(reason ? { reason } : {}) }
}

export function progressOf({ promptTokens, cachedTokens, computedTokens, ms }: ProgressEvent): WireProgress {
  return { total: promptTokens, cache: cachedTokens, processed: computedTokens, time_ms: milliseconds(ms) }
}

/** The progress of a prompt that is not known yet: its model is still loading. */
export function loadingProgress(ms: number): WireProgress {
  return { total: 0, cache: 0, processed: 0, time_ms: milliseconds(ms) }
}

/**
 * The usage of a request with several choices. Choices of one prompt share its tokens, so each prompt counts once (`n`
 * choices per prompt, in order), as OpenAI counts them; reply tokens add up.
 */
export function usageOf(accounts: readonly Account[], n: number): WireUsage {
  const prompts = accounts.filter((_, i) => i % n === 0)
  const promptTokens = sum(prompts, ({ usage }) => usage.promptTokens)
  const completionTokens = sum(accounts, ({ usage }) => usage.completionTokens)
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: sum(prompts, ({ usage }) => usage.cachedTokens) },
    completion_tokens_details: {
      accepted_prediction_tokens: sum(accounts, ({ usage }) => usage.acceptedPredictionTokens),
      rejected_prediction_tokens: sum(accounts, ({ usage }) => usage.rejectedPredictionTokens),
    },
  }
}

/**
 * The timings of a request with several choices: the moment anything first happened in any of them, the longest
 * duration, and sums of the counts (of work done: here a prompt computed twice counts twice).
 */
export function timingsOf(accounts: readonly Account[]): WireTimings {
  const earliest = (read: (timings: Timings) => number | null) => {
    const moments = accounts.map(({ timings }) => read(timings)).filter((moment) => moment !== null)
    return moments.length === 0 ? null : milliseconds(Math.min(...moments))
  }
  return {
    queue_ms: earliest((t) => t.queueMs) ?? 0,
    prompt_ms: earliest((t) => t.promptMs),
    provisional_ms: earliest((t) => t.provisionalMs),
    stable_ms: earliest((t) => t.stableMs),
    committed_ms: earliest((t) => t.committedMs),
    predicted_ms: milliseconds(Math.max(0, ...accounts.map(({ timings }) => timings.predictedMs))),
    cache_n: sum(accounts, ({ usage }) => usage.cachedTokens),
    prompt_n: sum(accounts, ({ timings }) => timings.promptN),
    predicted_n: sum(accounts, ({ timings }) => timings.predictedN),
    drafted_n: sum(accounts, ({ timings }) => timings.draftedN),
    accepted_n: sum(accounts, ({ timings }) => timings.acceptedN),
    rejected_n: sum(accounts, ({ timings }) => timings.rejectedN),
    retracted_n: sum(accounts, ({ timings }) => timings.retractedN),
    tolerated_n: sum(accounts, ({ timings }) => timings.toleratedN),
    early_n: sum(accounts, ({ timings }) => timings.earlyN),
  }
}

function sum<T>(items: readonly T[], read: (item: T) => number): number {
  return items.reduce((total, item) => total + read(item), 0)
}

/** Microseconds are as fine as the clock is honest. */
function milliseconds(value: number): number {
  return Math.round(value * 1000) / 1000
}
