import type { FimTokens } from './fim.ts'
import type { ProposerName } from './proposer-names.ts'
import type { ReasoningMarkers } from './reasoning.ts'

/** How a model remembers a text, which decides what of it can be used again and taken back. */
export interface ModelMemory {
  /**
   * `attention`: a row per token, any of which can be given up. `window`: some layers look back a number of tokens only.
   * `recurrent`: some or all layers keep a state that every token changes.
   */
  kind: 'attention' | 'window' | 'recurrent'
  /** Tokens that layers with a window look back; 0 without such layers. */
  window: number
  /** Every row of a text is in the cache, and any can be given up; otherwise a text is gone back to at checkpoints. */
  allRows: boolean
  /** Of a recurrent memory: most guesses of a step that can be taken back; 0: nobody guesses. */
  snapshots: number
  /** Snapshots that the architecture could keep besides, and that were not wanted or did not fit into memory. */
  snapshotsLeftOut: number
  /** Of the KV cache and the states, for all sequences. */
  bytes: number
}

/** What of a model runs on GPUs. */
export interface ModelOffload {
  /** Layers of all stages together; the output of each counts as one. */
  layers: number
  of: number
  /** Names as their drivers give them. */
  devices: readonly string[]
}

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
  /** Most requests that run at once; others wait. */
  parallel: number
  hasChatTemplate: boolean
  /** Jinja. */
  chatTemplate?: string
  /** How the model marks what it thinks before it answers; absent for models that do not think in tags. */
  reasoning?: ReasoningMarkers
  /** The token that every prompt of this model begins with, where there is one. */
  begin?: number
  /** Absent where the model cannot fill in the middle. */
  fim?: FimTokens
  /** Adapters that are added to the weights; absent without any. */
  loras?: readonly { readonly path: string; readonly scale: number }[]
  memory: ModelMemory
  /** One KV cache for all sequences, or one for each of them. */
  cache: 'unified' | 'separate'
  /** Layer ranges of the stages, e.g. [[0, 8], [8, 30]]; one range when the model is not cut. */
  stages: readonly (readonly [number, number])[]
  /** Absent on a machine without a GPU, or without a library for it. */
  offload?: ModelOffload
  /** The format of most of its weights, where CPUs read prompts faster in others and one is to compute with it. */
  slowFormat?: string
  /** Why the model runs as one stage although a cut was wanted. */
  cutRefused?: string
  /** Which proposers can run on this model, and for those that cannot, why. */
  proposers: Record<ProposerName, { available: boolean; note?: string }>
}
