import type { Limits } from './schedule.ts'

/** What steps may be on a machine, as far as it was measured. A profile may carry its own. */
export interface MachineConstants {
  /** Rows of one decode, and of one microbatch inside it: an abort or a new arrival waits for at most one microbatch. */
  readonly batchRows: number
  /** Rows that attention computes together. */
  readonly tileRows: number
  /** Longest step of prompt rows, ms: what a new arrival waits for at worst. */
  readonly stepMs: number
  /** Rows of a step of background work: it can be aborted, but not everywhere at once. */
  readonly backgroundRows: number
}

/**
 * A CPU under llama.cpp v0.5.0. Tile: GGML_FA_TILE_Q; with fewer rows attention goes cell by cell, so that 64 rows behind
 * 1,000 others take less time than 32 (SmolLM2-135M, two cores). Step: half of the strictest usual TTFT target.
 * Background: an abort takes effect after 10 ms in the middle of 512 rows, after less with fewer.
 */
export const machineConstants: MachineConstants = { batchRows: 512, tileRows: 64, stepMs: 250, backgroundRows: 128 }

/** The limits of steps. In a cache that all share, rows of several sequences share tiles, and none can be skipped. */
export function limitsOf(
  { batchRows, tileRows, stepMs, backgroundRows }: MachineConstants,
  options: { microbatches: boolean; exit: boolean; outputs?: number },
): Limits {
  return {
    batch: batchRows,
    stepMs,
    tile: tileRows,
    ...(options.microbatches ? { separateCaches: true } : tileRows > 1 && { mixed: tileRows - 1 }),
    background: backgroundRows,
    ...(options.outputs !== undefined && { outputs: options.outputs }),
    exit: options.exit,
  }
}
