import { join } from 'node:path'
import type { Log } from '../../api/engine-options.ts'
import { derivedDir } from '../../gguf/index.ts'
import type { SkimCalibration } from '../../proposers/lookahead-odds.ts'
import { defaultSkimCalibration } from '../../proposers/skim-default.ts'
import { isCalibration, readDerived } from '../derived-json.ts'

/** The calibration of this model by `incipit tune --skim`, else the one measured on SmolLM2-135M. */
export async function loadSkimCalibration(cacheDir: string, hash: string, log: Log): Promise<SkimCalibration> {
  const isSound = ({ first, agreeing, differing, later, note }: Record<string, unknown>) =>
    [first, agreeing, differing, later].every(isCalibration) && typeof note === 'string'
  return (await readDerived<SkimCalibration>(skimPath(cacheDir, hash), isSound, log)) ?? defaultSkimCalibration
}

/** Where `incipit tune --skim` writes. Another version of lookaheads has another name. */
export function skimPath(cacheDir: string, hash: string): string {
  return join(derivedDir(cacheDir, hash), 'skim-v3.json')
}
