import { mkdir } from 'node:fs/promises'
import { IncipitError } from '../api/errors.ts'
import { calibrate } from '../core/sampling/calibration.ts'
import { topProbability } from '../core/sampling/sample.ts'
import { machineConstants } from '../core/schedule/machine-constants.ts'
import { defaultCacheDir, derivedDir, modelHash } from '../gguf/index.ts'
import { Model } from '../llama/model.ts'
import type { SkimCalibration } from '../proposers/lookahead-odds.ts'
import { burst, planLookaheads } from '../proposers/skim.ts'
import { writeDerived } from '../runtime/derived-json.ts'
import { skimPath } from '../runtime/load/skim-calibration.ts'
import { greedyReply, type TuneOptions } from './exit.ts'
import { Plain } from './plain.ts'
import { tokenisePrompts } from './prompts.ts'

export interface SkimReport extends SkimCalibration {
  prompts: number
  /** Share of prompts whose first lookahead saw the right first token. */
  agreement: number
}

// A context for prompts of this length costs little, and longer ones teach nothing new.
const maxPrompt = 2048

/**
 * Calibrates the lookaheads of `proposers/skim.ts` for one model: what a lookahead's own top probability says about its tokens'
 * survival, on prompts long enough to be skimmed. All of them are used, whatever their split.
 * @throws IncipitError `tune_failed` when there are too few long prompts
 */
export async function tuneSkim(options: TuneOptions): Promise<SkimReport> {
  const say = options.onProgress ?? (() => {})
  const cacheDir = options.cacheDir ?? defaultCacheDir()
  const hash = await modelHash(options.model, cacheDir)
  using model = await Model.load(options.model)
  const long = tokenisePrompts(model, options.prompts, maxPrompt).flatMap(({ tokens, suffix }) => {
    const looks = planLookaheads(tokens.length, suffix, machineConstants.tileRows)
    return looks.length === 0 ? [] : [{ tokens, looks }]
  })
  if (long.length < 40) throw new IncipitError('tune_failed', `${long.length} prompts are long enough to skim: too few`)
  say(`looking ahead in ${long.length} prompts`)
  using plain = new Plain(model, { cells: maxPrompt + 2 * burst, threads: options.threads ?? 2 })
  const samples: Record<'first' | 'agreeing' | 'differing' | 'later', { confidence: number; survived: boolean }[]> = {
    first: [],
    agreeing: [],
    differing: [],
    later: [],
  }
  for (const [index, { tokens, looks }] of long.entries()) {
    const reply = await greedyReply(plain, tokens, burst)
    let before: number | undefined
    for (const { forkAt, tailFrom } of looks) {
      const confidences: number[] = []
      // A lookahead's rows have consecutive positions: the same computation as this shortened prompt.
      const look = await greedyReply(plain, [...tokens.slice(0, forkAt), ...tokens.slice(tailFrom)], burst, {
        seen: () => confidences.push(topProbability(plain.logits()).probability),
      })
      const kind = before === undefined ? 'first' : before === look[0] ? 'agreeing' : 'differing'
      for (const [i, token] of look.entries()) {
        const survived = token === reply[i]
        samples[i === 0 ? kind : 'later'].push({ confidence: confidences[i]!, survived })
        // Tokens after a wrong one are gone with it.
        if (!survived) break
      }
      before = look[0]
    }
    if ((index + 1) % 20 === 0) say(`${index + 1} of ${long.length} prompts`)
  }
  const report: SkimReport = {
    first: calibrate(samples.first),
    agreeing: calibrate(samples.agreeing),
    differing: calibrate(samples.differing),
    later: calibrate(samples.later),
    note: `calibrated on ${long.length} prompts`,
    prompts: long.length,
    agreement: samples.first.filter(({ survived }) => survived).length / long.length,
  }
  await mkdir(derivedDir(cacheDir, hash), { recursive: true })
  await writeDerived(skimPath(cacheDir, hash), report)
  return report
}
