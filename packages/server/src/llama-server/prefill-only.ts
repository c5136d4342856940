import type { DoneEvent, GenerateEvent, GenerateRequest } from '@incipit/engine/api'
import { ServerError } from '../errors.ts'
import type { ServedEngine } from '../served-engine.ts'

/** The same engine, which computes prompts and says nothing: editors warm what they are going to ask. */
export function prefillOnly({ info, prefill }: ServedEngine): ServedEngine {
  if (prefill === undefined) {
    throw new ServerError('unsupported', 'n_predict: this server cannot prefill', { param: 'n_predict' })
  }
  return { info, generate: (request) => prefilled(request, prefill) }
}

async function* prefilled(
  { prompt, parseSpecial, cacheSalt, signal }: GenerateRequest,
  prefill: NonNullable<ServedEngine['prefill']>,
): AsyncGenerator<GenerateEvent> {
  const begun = performance.now()
  const { promptTokens, cachedTokens } = await prefill({
    ...(prompt !== undefined && { prompt }),
    ...(parseSpecial && { parseSpecial }),
    ...(cacheSalt !== undefined && { cacheSalt }),
    ...(signal && { signal }),
  })
  yield doneEvent(promptTokens, cachedTokens, performance.now() - begun)
}

function doneEvent(promptTokens: number, cachedTokens: number, promptMs: number): DoneEvent {
  return {
    type: 'done',
    finishReason: 'length',
    usage: {
      promptTokens,
      cachedTokens,
      completionTokens: 0,
      acceptedPredictionTokens: 0,
      rejectedPredictionTokens: 0,
    },
    timings: {
      queueMs: 0,
      promptMs,
      provisionalMs: null,
      stableMs: null,
      committedMs: null,
      predictedMs: 0,
      promptN: promptTokens - cachedTokens,
      predictedN: 0,
      draftedN: 0,
      acceptedN: 0,
      rejectedN: 0,
      retractedN: 0,
      toleratedN: 0,
      earlyN: 0,
    },
  }
}
