import { join } from 'node:path'
import type { Calibration } from '../../core/sampling/calibration.ts'
import { derivedDir } from '../../gguf/index.ts'
import { defaultSkimCalibration } from '../../proposers/skim-default.ts'
import { readJson } from '../json-file.ts'

/** Survival of what a look sees, by its own top probability. */
export interface SkimCalibration {
  /** The first token of a reply, seen by the first look. */
  readonly first: Calibration
  /** The same, seen by a later look that agrees with the one before it, or does not. */
  readonly agreeing: Calibration
  readonly differing: Calibration
  /** Tokens after a right one. */
  readonly later: Calibration
  /** Where it comes from, for people. */
  readonly note: string
}

/** The calibration of this model by `incipit tune --skim`, else the one measured on SmolLM2-135M. */
export async function loadSkimCalibration(cacheDir: string, hash: string): Promise<SkimCalibration> {
  return (await readJson<SkimCalibration>(skimPath(cacheDir, hash))) ?? defaultSkimCalibration
}

/** Where `incipit tune --skim` writes. Another version of looks has another name. */
export function skimPath(cacheDir: string, hash: string): string {
  return join(derivedDir(cacheDir, hash), 'skim-v3.json')
}
