import type { ProposerName } from './proposer-names.ts'

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
