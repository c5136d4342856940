import type { DoneEvent } from '@incipit/engine/api'

/**
 * The closing line of a reply: when its first word came (provisional, stable, committed), how fast it went on, and what
 * became of the drafts. A dash stands for a moment that never came.
 *
 * @param lossy the policy may have changed the text: then also how many tokens are not the full model's own
 */
export function summary({ timings, usage, finishReason }: DoneEvent, lossy: boolean): string {
  const moment = (ms: number | null) => (ms === null ? '-' : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`)
  const first =
    `first word: provisional ${moment(timings.provisionalMs)}, stable ${moment(timings.stableMs)}, ` +
    `committed ${moment(timings.committedMs)}`
  // predictedMs runs from the first token to the last, so it covers one token less.
  const after = usage.completionTokens - 1
  const speed =
    after > 0 && timings.predictedMs > 0 ? ` at ${((1000 * after) / timings.predictedMs).toFixed(1)} tokens/s` : ''
  const reply = `${usage.completionTokens} ${usage.completionTokens === 1 ? 'token' : 'tokens'}${speed}`
  const drafts = `drafts: ${timings.acceptedN} accepted, ${timings.rejectedN} rolled back`
  const end = finishReason === 'stop' ? '' : ` | ended: ${endings[finishReason]}`
  const loss = lossy ? ` | LOSSY: ${timings.toleratedN} tolerated, ${timings.earlyN} early` : ''
  return `${first} | ${reply} | ${drafts}${loss}${end}`
}

const endings = {
  length: 'token limit (-n)',
  context: 'context full',
  cancelled: 'cancelled',
} as const
