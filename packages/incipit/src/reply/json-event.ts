import type { GenerateEvent, Timings, Usage } from '@incipit/engine/api'

/**
 * An event as the wire protocol spells it: snake_case names, moments in milliseconds with three decimals, `usage` in
 * OpenAI's shape. `finish_reason` keeps the engine's finer words (`context`, `cancelled`).
 *
 * @param lossy the policy may have changed the text: the closing event says so
 */
export function jsonEvent(event: GenerateEvent, lossy: boolean): object {
  switch (event.type) {
    case 'provisional':
      return event
    case 'delta':
      return { type: 'delta', text: event.text, tokens: event.tokens }
    case 'done':
      return {
        type: 'done',
        finish_reason: event.finishReason,
        ...(event.stopString === undefined ? {} : { stop_string: event.stopString }),
        usage: jsonUsage(event.usage),
        timings: jsonTimings(event.timings, event.usage),
        ...(lossy ? { lossy } : {}),
      }
  }
}

function jsonUsage(usage: Usage): object {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedTokens },
    completion_tokens_details: {
      accepted_prediction_tokens: usage.acceptedPredictionTokens,
      rejected_prediction_tokens: usage.rejectedPredictionTokens,
    },
  }
}

function jsonTimings(timings: Timings, usage: Usage): object {
  return {
    queue_ms: milliseconds(timings.queueMs),
    prompt_ms: milliseconds(timings.promptMs),
    provisional_ms: milliseconds(timings.provisionalMs),
    stable_ms: milliseconds(timings.stableMs),
    committed_ms: milliseconds(timings.committedMs),
    predicted_ms: milliseconds(timings.predictedMs),
    cache_n: usage.cachedTokens,
    prompt_n: timings.promptN,
    predicted_n: timings.predictedN,
    drafted_n: timings.draftedN,
    accepted_n: timings.acceptedN,
    rejected_n: timings.rejectedN,
    retracted_n: timings.retractedN,
    tolerated_n: timings.toleratedN,
    early_n: timings.earlyN,
  }
}

function milliseconds(value: number | null): number | null {
  return value === null ? null : Math.round(value * 1000) / 1000
}
