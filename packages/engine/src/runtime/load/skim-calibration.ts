import { join } from 'node:path'
import type { Log } from '../../api/engine-options.ts'
import { derivedDir } from '../../gguf/index.ts'
import { isWeights } from '../../proposers/logistic-regression.ts'
import { evidencePieces, type SkimCalibration } from '../../proposers/lookahead-odds.ts'
import { defaultSkimCalibration } from '../../proposers/skim-default.ts'
import { isCalibration, readDerived } from '../derived-json.ts'

/** The calibration of this model by `incipit tune --skim`, else the one measured on SmolLM2-135M. */
export async function loadSkimCalibration(cacheDir: string, hash: string, log: Log): Promise<SkimCalibration> {
  const isShare = (value: unknown) => typeof value === 'number' && value >= 0 && value <= 1
  const isSound = ({ first, right, later, note }: Record<string, unknown>) => {
    const shares = (right ?? {}) as Partial<Record<keyof SkimCalibration['right'], unknown>>
    const sound = isWeights(first, evidencePieces) && isShare(shares.first) && isShare(shares.further)
    return sound && isCalibration(later) && typeof note === 'string'
  }
  return (await readDerived<SkimCalibration>(skimPath(cacheDir, hash), isSound, log)) ?? defaultSkimCalibration
}

/** Where `incipit tune --skim` writes. Another version of lookaheads has another name. */
export function skimPath(cacheDir: string, hash: string): string {
  return join(derivedDir(cacheDir, hash), 'skim-v4.json')
}
