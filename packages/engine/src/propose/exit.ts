import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Calibration } from '../flow/calibrate.ts'
import { derivedDir } from '../gguf/index.ts'
import { readJson } from '../json.ts'

/**
 * A fitted exit: after `at` layers an output matrix of its own guesses the next token. `incipit tune --exit` writes it
 * beside the stage files: `exit-<at>.json` (this) and `exit-<at>-<id>.bin` (the matrix).
 */
export interface ExitReport {
  /** Layers before the exit. */
  at: number
  /** Names the fit: stage files carry it. */
  id: string
  head: { type: number; shape: readonly [columns: number, rows: number] }
  /** Rows fitted on and held out, first tokens of a reply and later ones. */
  rows: { fitted: number; first: number; later: number }
  /** Held-out agreement with the full model's greedy token. */
  agreement: { first: number; later: number }
  /** Held-out survival by the exit's top probability. */
  calibration: { first: Calibration; later: Calibration }
  /** Share of held-out tokens whose calibrated survival reaches 0.9. */
  shown: { first: number; later: number }
}

export interface FittedExit extends ExitReport {
  path: string
  note: string
}

/** The exit fitted at layer `at`, or, without one, the latest named by `exit.json`. */
export async function findExit(cacheDir: string, hash: string, at?: number): Promise<FittedExit | undefined> {
  const directory = derivedDir(cacheDir, hash)
  const layer = at ?? (await readJson<{ at: number }>(join(directory, 'exit.json')))?.at
  if (layer === undefined) return undefined
  const report = await readJson<ExitReport>(join(directory, `exit-${layer}.json`))
  if (report === undefined) return undefined
  const percent = (share: number) => `${Math.round(100 * share)}%`
  return {
    ...report,
    path: join(directory, `exit-${layer}-${report.id}.bin`),
    note: `after ${layer} layers, right in ${percent(report.agreement.first)} of first and ${percent(report.agreement.later)} of later tokens`,
  }
}

/** The exit's output matrix, quantised as `head.type` says. */
export async function loadExitHead(exit: FittedExit): Promise<Uint8Array> {
  return readFile(exit.path)
}
