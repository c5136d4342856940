/** Counters of an engine since it was loaded, and its load now. */
export interface EngineStats {
  running: number
  waiting: number
  /** KV cells in all, and how many are reserved by running requests. */
  cells: number
  cellsUsed: number
  promptTokens: number
  generatedTokens: number
  drafted: number
  accepted: number
  rejected: number
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
    promptTokens: 0,
    generatedTokens: 0,
    drafted: 0,
    accepted: 0,
    rejected: 0,
    retracted: 0,
    steps: 0,
    rows: 0,
    decodeMs: 0,
    overheadMs: 0,
  }
}
