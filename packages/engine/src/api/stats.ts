import type { ProposerName } from './proposer-names.ts'

/** First words that were guessed and shown: how many, how many of them stayed, and how many were expected to. */
export interface ShownCounts {
  shown: number
  survived: number
  expected: number
}

/** Counters of an engine since it was loaded, and its load now. */
export interface EngineStats {
  running: number
  waiting: number
  /** KV cells in all, and how many hold rows. */
  cells: number
  cellsUsed: number
  /** Bytes of rows of requests that are over, kept outside the KV cache for prompts that begin alike. */
  keptBytes: number
  /** Bytes of checkpoints, of requests that run and of rows that are kept (those are part of `keptBytes`, too). */
  checkpointBytes: number
  /** Requests that lost their place and were computed again. */
  preempted: number
  promptTokens: number
  /** Prompt tokens that did not have to be computed. */
  cachedTokens: number
  generatedTokens: number
  drafted: number
  accepted: number
  rejected: number
  /** The same per proposer. */
  proposers: Partial<Record<ProposerName, { drafts: number; drafted: number; accepted: number }>>
  /** Of the last 1,000 first words that were guessed and shown, per proposer. */
  firstWords: Readonly<Partial<Record<ProposerName, ShownCounts>>>
  /** First tokens that another continuation than the tail had right. */
  branched: number
  /** Tokens that are not the full model's own choice: kept by policy `tolerant`, or said by an exit by `confident`. */
  tolerated: number
  early: number
  retracted: number
  steps: number
  /** Rows that were run, in all stages: what was kept and what was rolled back. */
  rows: number
  /** Milliseconds inside native decodes, and in our own code between two of them while there was work. */
  decodeMs: number
  overheadMs: number
}

export function emptyStats(): EngineStats {
  return {
    running: 0,
    waiting: 0,
    cells: 0,
    cellsUsed: 0,
    keptBytes: 0,
    checkpointBytes: 0,
    preempted: 0,
    promptTokens: 0,
    cachedTokens: 0,
    generatedTokens: 0,
    drafted: 0,
    accepted: 0,
    rejected: 0,
    proposers: {},
    firstWords: {},
    branched: 0,
    tolerated: 0,
    early: 0,
    retracted: 0,
    steps: 0,
    rows: 0,
    decodeMs: 0,
    overheadMs: 0,
  }
}
