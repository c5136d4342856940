import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Log } from '../../api/engine-options.ts'
import type { Calibration } from '../../core/sampling/calibration.ts'
import { derivedDir, type Metadata, metadataNumber, type StageHead } from '../../gguf/index.ts'
import { isCalibration, readDerived } from '../derived-json.ts'

/** What is known of an exit: a guess at the next token after the first `at` layers. */
export interface ExitReport {
  /** Layers before the exit. */
  at: number
  /** Held-out agreement with the full model's greedy token: first token of a reply, later ones. */
  agreement: { first: number; later: number }
  /** Held-out survival by the exit's own top probability. */
  calibration: { first: Calibration; later: Calibration }
  /** Share of held-out tokens whose calibrated survival reaches 0.9. */
  shown: { first: number; later: number }
}

/**
 * An exit that `incipit tune --exit` fitted: an output matrix of its own. It lies beside the stage files as
 * `exit-<at>.json` (this) and `exit-<at>-<id>.bin` (the matrix); `exit.json` names the latest.
 */
export interface FittedExit extends ExitReport {
  /** Names the fit: stage files carry it. */
  id: string
  head: { type: number; shape: readonly [columns: number, rows: number] }
  /** Rows fitted on, and held-out rows: first tokens of a reply and later ones. */
  rows: { fitted: number; first: number; later: number }
}

/** An exit as the engine uses it. Without a head of its own the model was trained to speak through its shared one. */
export interface Exit extends ExitReport {
  head?: StageHead
  /** Where it comes from and how good it is, for people. */
  note: string
}

/** The exit fitted at layer `at` (default: the latest one), or undefined. */
export async function findExit(cacheDir: string, hash: string, log: Log, at?: number): Promise<Exit | undefined> {
  const directory = derivedDir(cacheDir, hash)
  const layer =
    at ?? (await readDerived<{ at: number }>(join(directory, 'exit.json'), ({ at }) => typeof at === 'number', log))?.at
  if (layer === undefined) return undefined
  const fitted = await readDerived<FittedExit>(join(directory, `exit-${layer}.json`), isFittedExit, log)
  if (fitted === undefined) return undefined
  const { id, head, ...report } = fitted
  const data = () => readFile(join(directory, `exit-${layer}-${id}.bin`))
  return { ...report, head: { id, ...head, data }, note: `fitted ${describe(report)}` }
}

function isFittedExit(value: Record<string, unknown>): boolean {
  const { at, id, head, agreement, shown, calibration } = value as Partial<Record<keyof FittedExit, unknown>>
  const { first, later } = (calibration ?? {}) as Partial<Record<'first' | 'later', unknown>>
  const isPair = (pair: unknown) => {
    const { first, later } = (pair ?? {}) as Partial<Record<'first' | 'later', unknown>>
    return typeof first === 'number' && typeof later === 'number'
  }
  const { type, shape } = (head ?? {}) as Partial<Record<'type' | 'shape', unknown>>
  if (typeof at !== 'number' || typeof id !== 'string' || typeof type !== 'number' || !Array.isArray(shape))
    return false
  return isPair(agreement) && isPair(shown) && isCalibration(first) && isCalibration(later)
}

/**
 * The exit that a model carries: trained for it, through its own norm and head (docs/models.md lists the metadata keys).
 */
export function carriedExit(metadata: Metadata): Exit | undefined {
  const at = metadataNumber(metadata, 'incipit.exit.layer')
  if (at === undefined) return undefined
  const number = (key: string) => metadataNumber(metadata, `incipit.exit.${key}`) ?? 0
  const report: ExitReport = {
    at,
    agreement: { first: number('agreement.first'), later: number('agreement.later') },
    calibration: {
      first: carriedCalibration(metadata, 'incipit.exit.calibration.first'),
      later: carriedCalibration(metadata, 'incipit.exit.calibration.later'),
    },
    shown: { first: number('shown.first'), later: number('shown.later') },
  }
  return { ...report, note: `trained ${describe(report)}` }
}

/** The calibration whose two arrays, `confidence` and `survival`, stand under a prefix. Without them it has no steps. */
export function carriedCalibration(metadata: Metadata, prefix: string): Calibration {
  const list = (name: string): number[] => {
    const value = metadata.get(`${prefix}.${name}`)
    return value?.type === 'array' && value.of !== 'string' ? Array.from(value.value, Number) : []
  }
  return { from: list('confidence'), survival: list('survival'), samples: 0 }
}

function describe({ at, agreement }: ExitReport): string {
  const percent = (share: number) => `${Math.round(100 * share)}%`
  return `after ${at} layers, right in ${percent(agreement.first)} of first and ${percent(agreement.later)} of later tokens`
}
