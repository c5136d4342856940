import { mkdir } from 'node:fs/promises'
import { IncipitError } from '../api/errors.ts'
import { calibrate } from '../core/sampling/calibration.ts'
import { topProbability } from '../core/sampling/sample.ts'
import { machineConstants } from '../core/schedule/machine-constants.ts'
import { defaultCacheDir, derivedDir, modelHash } from '../gguf/index.ts'
import { Model } from '../llama/model.ts'
import type { Weights } from '../proposers/logistic-regression.ts'
import { evidenceOf, regression, type SkimCalibration } from '../proposers/lookahead-odds.ts'
import { burst, planLookaheads } from '../proposers/skim.ts'
import { writeDerived } from '../runtime/derived-json.ts'
import { skimPath } from '../runtime/load/skim-calibration.ts'
import { greedyReply, type TuneOptions } from './exit.ts'
import { Plain } from './plain.ts'
import { tokenisePrompts } from './prompts.ts'

export interface SkimReport extends SkimCalibration {
  prompts: number
}

/** Before anything was seen: any weight, but for that of what similar prompts say, which is the one it is made for. */
const nothingSeen: Weights = {
  means: [0, 0, 0, 0, 1],
  precision: [0.25, 0.25, 0.25, 0.25, 10].map((own, i, all) => all.map((_, j) => (i === j ? own : 0))),
}

// A context for prompts of this length costs little, and longer ones teach nothing new.
const maxPrompt = 2048

/**
 * Calibrates the lookaheads of `proposers/skim.ts` for one model: what the evidence of a lookahead says about the
 * survival of its tokens, on prompts long enough to be skimmed. All of them are used, whatever their split.
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
  const first = regression(nothingSeen)
  const right: Record<'first' | 'further', boolean[]> = { first: [], further: [] }
  const later: { confidence: number; survived: boolean }[] = []
  for (const [index, { tokens, looks }] of long.entries()) {
    const reply = await greedyReply(plain, tokens, burst)
    let before: number | undefined
    for (const { forkAt, tailFrom } of looks) {
      const likeliest: { probability: number; second: number }[] = []
      // A lookahead's rows have consecutive positions: the same computation as this shortened prompt.
      const look = await greedyReply(plain, [...tokens.slice(0, forkAt), ...tokens.slice(tailFrom)], burst, {
        seen: () => likeliest.push(firstTwo(plain.logits())),
      })
      for (const [i, token] of look.entries()) {
        const survived = token === reply[i]
        if (i === 0) {
          first.observe(evidenceOf({ before, token, ...likeliest[0]!, expected: undefined }), survived)
          right[before === undefined ? 'first' : 'further'].push(survived)
        } else later.push({ confidence: likeliest[i]!.probability, survived })
        // Tokens after a wrong one are gone with it.
        if (!survived) break
      }
      before = look[0]
    }
    if ((index + 1) % 20 === 0) say(`${index + 1} of ${long.length} prompts`)
  }
  const report: SkimReport = {
    first: worth(first.toJSON(), right.first.length + right.further.length),
    right: { first: share(right.first), further: share(right.further) },
    later: calibrate(later),
    note: `calibrated on ${long.length} prompts`,
    prompts: long.length,
  }
  await mkdir(derivedDir(cacheDir, hash), { recursive: true })
  await writeDerived(skimPath(cacheDir, hash), report)
  return report
}

// Where prompts are of another kind, some tens of looks there say more than hundreds here.
const mostWorth = 60

/** What was learnt from so many looks, as if it had been fewer. */
function worth({ means, precision }: Weights, looks: number): Weights {
  const part = Math.min(1, mostWorth / looks)
  return { means, precision: precision.map((row) => row.map((value) => part * value)) }
}

function share(outcomes: readonly boolean[]): number {
  return outcomes.filter((right) => right).length / Math.max(1, outcomes.length)
}

/** Probability of the likeliest token, and of the one after it. */
function firstTwo(logits: Float32Array): { probability: number; second: number } {
  const { token, probability } = topProbability(logits)
  let second = Number.NEGATIVE_INFINITY
  for (const [other, logit] of logits.entries()) if (other !== token && logit > second) second = logit
  return { probability, second: probability * Math.exp(second - logits[token]!) }
}
