import { rm } from 'node:fs/promises'
import type { EngineOptions, Log } from '../../api/engine-options.ts'
import { IncipitError } from '../../api/errors.ts'
import { type Gguf, readGguf, type StageFile, type StageHead, stageFiles } from '../../gguf/index.ts'
import type { Model } from '../../llama/model.ts'
import { carriedExit, type Exit, findExit } from './exit.ts'
import { verifyCut } from './verify-cut.ts'

// Two stages cost more per token than one: an exit that may show less than this is not worth it.
const minShown = 0.1

/** Where a model is cut into stages, and the exit that speaks at the first cut. */
export interface CutPlan {
  readonly files: readonly StageFile[]
  /** The exit, or why there is none. */
  readonly exit: Exit | string
  /** Why the model runs as one stage although a cut was wanted. */
  readonly refused?: string
}

export interface CutOptions {
  readonly cut: EngineOptions['cut']
  readonly cacheDir: string
  /** Content hash of the model. */
  readonly hash: string
  readonly log: Log
}

/** The exit that is known for a model, and the layers before which it is to be cut. */
export interface WantedCut {
  readonly at: readonly number[]
  readonly known: Exit | undefined
}

/** What is to be cut, before anything is made: `auto` cuts where an exit is known that may speak. */
export async function wantedCut(gguf: Gguf, { cut = 'auto', cacheDir, hash, log }: CutOptions): Promise<WantedCut> {
  const byHand = cut === 'auto' || cut === 'none' ? undefined : cut
  const known = (await findExit(cacheDir, hash, log, byHand?.[0])) ?? carriedExit(gguf.metadata)
  if (byHand) return { at: byHand, known }
  if (cut === 'none' || known === undefined) return { at: [], known }
  if (known.shown.first < minShown && known.shown.later < minShown) {
    log('info', `the exit after ${known.at} layers may show under ${100 * minShown}% of tokens at 0.9: not cut`)
    return { at: [], known }
  }
  return { at: [known.at], known }
}

/** Makes the stage files, and refuses a cut that changes what the model says. */
export async function planCut(
  whole: Model,
  gguf: Gguf,
  { at, known }: WantedCut,
  options: CutOptions,
): Promise<CutPlan> {
  const uncut = [{ path: gguf.path, from: 0, to: whole.layers, last: true }]
  if (at.length === 0) return { files: uncut, exit: whyNoExit(known) }
  const exit = known?.at === at[0] ? known : undefined
  try {
    if (whole.recurrent) throw new IncipitError('cut_refused', 'a recurrent memory cannot be rolled back')
    const files = await soundStageFiles(gguf, at, exit?.head, options)
    await verifyCut(whole, files, options)
    const missing = `no exit is fitted at layer ${at[0]}; fit one with \`incipit tune --exit --at ${at[0]}\``
    return { files, exit: exit ?? missing }
  } catch (error) {
    if (!(error instanceof IncipitError) || error.code !== 'cut_refused') throw error
    options.log('warn', `the model runs as one stage: ${error.message}`)
    return { files: uncut, exit: `the cut was refused: ${error.message}`, refused: error.message }
  }
}

/** The stage files, cut anew where one that was cut before is damaged. */
async function soundStageFiles(
  gguf: Gguf,
  at: readonly number[],
  head: StageHead | undefined,
  { hash, cacheDir, log }: CutOptions,
): Promise<StageFile[]> {
  const make = () => stageFiles(gguf, hash, at, cacheDir, head)
  const files = await make()
  for (const { path } of files) {
    try {
      await readGguf(path)
    } catch (error) {
      log('warn', `a stage file is made anew: ${(error as Error).message}`)
      await rm(path, { force: true })
      await make()
    }
  }
  return files
}

function whyNoExit(known: Exit | undefined): string {
  if (known === undefined)
    return 'the model runs as one stage; fit an exit with `incipit tune --exit`, or cut it with --cut'
  return `the one ${known.note} is rarely sure enough to be shown; try it with --cut ${known.at} --min-stability 0`
}
