import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { DoneEvent } from '@incipit/engine/api'
import { jsonEvent } from './json-event.ts'
import { summary } from './summary.ts'

const done: DoneEvent = {
  type: 'done',
  finishReason: 'stop',
  usage: {
    promptTokens: 30,
    completionTokens: 21,
    cachedTokens: 4,
    acceptedPredictionTokens: 5,
    rejectedPredictionTokens: 2,
  },
  timings: {
    queueMs: 0.51234,
    promptMs: 200,
    provisionalMs: 8.25,
    stableMs: 80,
    committedMs: 240.4,
    predictedMs: 1000,
    promptN: 26,
    predictedN: 21,
    draftedN: 7,
    acceptedN: 5,
    rejectedN: 2,
    retractedN: 1,
    toleratedN: 0,
    earlyN: 0,
  },
}

describe('summary', () => {
  it('tells the three first words, the speed between first and last token, and the drafts', () => {
    assert.equal(
      summary(done, false),
      'first word: provisional 8.3 ms, stable 80 ms, committed 240 ms | 21 tokens at 20.0 tokens/s | ' +
        'drafts: 5 accepted, 2 rolled back',
    )
  })

  it('has a dash for a moment that never came, and no speed for a single token', () => {
    const single: DoneEvent = {
      ...done,
      finishReason: 'length',
      usage: { ...done.usage, completionTokens: 1 },
      timings: { ...done.timings, provisionalMs: null, predictedMs: 0 },
    }
    assert.match(summary(single, false), /provisional -, .* \| 1 token \| .* \| ended: token limit/)
  })
})

describe('a lossy policy', () => {
  const lossy: DoneEvent = { ...done, timings: { ...done.timings, toleratedN: 3, earlyN: 4 } }

  it('is told in the summary, also where nothing was lost', () => {
    assert.match(summary(lossy, true), / \| LOSSY: 3 tolerated, 4 early$/)
    assert.match(summary(done, true), /LOSSY: 0 tolerated, 0 early/)
    assert.doesNotMatch(summary(lossy, false), /LOSSY/)
  })

  it('is told in the closing event', () => {
    const { lossy: mark, timings } = jsonEvent(lossy, true) as { lossy: true; timings: object }
    assert.equal(mark, true)
    assert.deepEqual(Object.entries(timings).slice(-2), [
      ['tolerated_n', 3],
      ['early_n', 4],
    ])
  })
})

describe('jsonEvent', () => {
  it('spells the closing event as the wire does', () => {
    assert.deepEqual(jsonEvent(done, false), {
      type: 'done',
      finish_reason: 'stop',
      usage: {
        prompt_tokens: 30,
        completion_tokens: 21,
        total_tokens: 51,
        prompt_tokens_details: { cached_tokens: 4 },
        completion_tokens_details: { accepted_prediction_tokens: 5, rejected_prediction_tokens: 2 },
      },
      timings: {
        queue_ms: 0.512,
        prompt_ms: 200,
        provisional_ms: 8.25,
        stable_ms: 80,
        committed_ms: 240.4,
        predicted_ms: 1000,
        cache_n: 4,
        prompt_n: 26,
        predicted_n: 21,
        drafted_n: 7,
        accepted_n: 5,
        rejected_n: 2,
        retracted_n: 1,
        tolerated_n: 0,
        early_n: 0,
      },
    })
  })
})
