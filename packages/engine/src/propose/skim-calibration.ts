import { join } from 'node:path'
import type { Calibration } from '../flow/calibrate.ts'
import { derivedDir } from '../gguf/index.ts'
import { readJson } from '../json.ts'
import { defaultSkimCalibration } from './skim-default.ts'

/** Survival of a skim's tokens by the look's own top probability: the first token of a reply, and later ones. */
export interface SkimCalibration {
  readonly first: Calibration
  readonly later: Calibration
  /** Where it comes from, for people. */
  readonly note: string
}

/** The calibration of this model by `incipit tune --skim`, else the one measured on SmolLM2-135M. */
export async function loadSkimCalibration(cacheDir: string, hash: string): Promise<SkimCalibration> {
  return (await readJson<SkimCalibration>(skimPath(cacheDir, hash))) ?? defaultSkimCalibration
}

/** Where `incipit tune --skim` writes. */
export function skimPath(cacheDir: string, hash: string): string {
  return join(derivedDir(cacheDir, hash), 'skim.json')
}
