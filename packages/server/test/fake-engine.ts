import type {
  DeltaEvent,
  DoneEvent,
  FinishReason,
  GenerateEvent,
  GenerateRequest,
  ProvisionalEvent,
} from '@incipit/engine/api'
import type { ServedEngine } from '../src/served-engine.ts'

/** An engine that replies from a script, for what real weights cannot be made to do on demand. */
export interface FakeEngine extends ServedEngine {
  /** Every request it was given. */
  readonly requests: GenerateRequest[]
}

type Script = (request: GenerateRequest, index: number) => AsyncIterable<GenerateEvent>

export function fakeEngine(script: Script): FakeEngine {
  const requests: GenerateRequest[] = []
  return {
    requests,
    info: {
      name: 'fake-1b',
      path: '/models/fake-1b.gguf',
      architecture: 'llama',
      description: 'llama 1B',
      layers: 2,
      embedding: 8,
      vocabulary: 512,
      contextLength: 128,
      parallel: 4,
      hasChatTemplate: true,
      memory: { kind: 'attention', window: 0, allRows: true, snapshots: 0, snapshotsLeftOut: 0, bytes: 0 },
      cache: 'unified',
      stages: [[0, 2]],
      proposers: {
        skim: { available: false },
        exit: { available: false },
        lookup: { available: true },
        opening: { available: false },
        prediction: { available: false },
        grammar: { available: false },
        draft: { available: false },
        heads: { available: false },
        experts: { available: false },
        mtp: { available: false },
      },
    },
    generate(request) {
      requests.push(request)
      return script(request, requests.length - 1)
    },
  }
}

/** A script that always gives the same events. */
export function says(...events: GenerateEvent[]): Script {
  return async function* () {
    yield* events
  }
}

export function delta(text: string, tokens = 1): DeltaEvent {
  return { type: 'delta', text, tokens }
}

export function guess(rev: number, base: number, text: string, stability = 0.95): ProvisionalEvent {
  return { type: 'provisional', rev, base, text, tokens: text === '' ? 0 : 1, stability, source: 'skim' }
}

export function done(finishReason: FinishReason = 'stop', over: Partial<DoneEvent> = {}): DoneEvent {
  return {
    type: 'done',
    finishReason,
    usage: {
      promptTokens: 10,
      completionTokens: 4,
      cachedTokens: 2,
      acceptedPredictionTokens: 3,
      rejectedPredictionTokens: 1,
    },
    timings: {
      queueMs: 1,
      promptMs: 20,
      provisionalMs: 5,
      stableMs: 6,
      committedMs: 21.23456,
      predictedMs: 100,
      promptN: 8,
      predictedN: 4,
      draftedN: 4,
      acceptedN: 3,
      rejectedN: 1,
      retractedN: 1,
      toleratedN: 0,
      earlyN: 0,
    },
    ...over,
  }
}
