import { availableParallelism } from 'node:os'
import { basename } from 'node:path'
import { IncipitError } from './errors.ts'
import { defaultCacheDir, modelHash, readGguf, stageFiles } from './gguf/index.ts'
import { setNativeLog } from './llama/library.ts'
import { Model } from './llama/model.ts'
import { carriedExit, type Exit, findExit } from './propose/exit.ts'
import { loadSkimCalibration, type SkimCalibration } from './propose/skim-calibration.ts'
import type { EngineOptions, Log, ModelInfo } from './request.ts'
import { Device } from './stage/device.ts'
import { Stage } from './stage/stage.ts'
import { verifyCut } from './stage/verify.ts'
import type { ChatTemplate } from './text/template.ts'
import { templateOf } from './text/template-of.ts'

/** Most draft tokens in one step of a sequence. */
export const mostDrafts = 8
// Two stages cost more per token than one: an exit that may show less than this is not worth it.
const leastShown = 0.1
/** KV cells a request may use beside its prompt and reply: the drafts of a step and the tail of a look. */
export const slackCells = 64
/** Slots for texts that are computed ahead: open inputs, warmed prompts, conversations between two turns. */
const openTexts = 16
/** Rows of one decode, and of one pass inside it: an abort or a new arrival waits for at most one pass. */
export const batchRows = 512

/** Everything `Engine` runs on. */
export interface Loaded {
  info: ModelInfo
  device: Device
  template: ChatTemplate | undefined
  exit: Exit | undefined
  skim: SkimCalibration
  cells: number
  slots: number
  parallel: number
  log: Log
}

/**
 * Loads a model as stages on one CPU device.
 * @throws IncipitError for everything that can be wrong with the file, the library or the memory
 */
export async function load(path: string, options: EngineOptions): Promise<Loaded> {
  const log = options.log ?? (() => {})
  checkOptions(options)
  setNativeLog(options.log)
  const gguf = await readGguf(path)
  const cacheDir = options.cacheDir ?? defaultCacheDir()
  const hash = await modelHash(path, cacheDir)
  const whole = await Model.load(path)
  const cleanup = new DisposableStack()
  cleanup.use(whole)
  try {
    const contextLength = Math.max(1, Math.min(options.contextLength ?? 8192, whole.trainingContext || 8192))
    const parallel = options.parallel ?? 8
    // Every request may want a second slot for a look; the rest is for texts that are computed ahead.
    const slots = 2 * parallel + openTexts
    const cells = (options.cells ?? defaultCells(whole, contextLength, parallel)) + parallel * slackCells
    const known = (await findExit(cacheDir, hash, at(options.cut))) ?? carriedExit(gguf.metadata)
    const wanted = wantedCut(options.cut ?? 'auto', known, log)

    let files = [{ path, from: 0, to: whole.layers, last: true }]
    let cutRefused: string | undefined
    let exit: Exit | undefined
    if (wanted.length > 0) {
      try {
        if (!whole.rollsBack) throw new IncipitError('cut_refused', 'a recurrent memory cannot be rolled back')
        if (known?.at === wanted[0]) exit = known
        files = await stageFiles(gguf, hash, wanted, cacheDir, exit?.head)
        await verifyCut(whole, files, { cacheDir, hash, log })
      } catch (error) {
        if (!(error instanceof IncipitError) || error.code !== 'cut_refused') throw error
        cutRefused = error.message
        exit = undefined
        files = [{ path, from: 0, to: whole.layers, last: true }]
        log('warn', `the model runs as one stage: ${cutRefused}`)
      }
    }

    const device = cleanup.use(new Device(options.threads ?? defaultThreads()))
    for (const file of files) {
      const model = files.length === 1 ? whole : await Model.load(file.path)
      device.stages.push(
        new Stage(model, {
          ...file,
          cells,
          slots,
          batch: batchRows,
          outputs: slots * (mostDrafts + 1),
          threadpool: device.threadpool,
        }),
      )
    }
    const skim = await loadSkimCalibration(cacheDir, hash)
    const vocab = device.stages[0]!.model.vocab
    const template = templateOf(whole)
    const info: ModelInfo = {
      name: basename(path).replace(/\.gguf$/i, ''),
      path,
      architecture: whole.architecture,
      description: whole.description,
      layers: whole.layers,
      embedding: whole.embedding,
      vocabulary: vocab.size,
      contextLength,
      hasChatTemplate: template !== undefined,
      stages: files.map(({ from, to }) => [from, to] as const),
      ...(cutRefused === undefined ? {} : { cutRefused }),
      proposers: {
        skim: whole.rollsBack ? { available: true, note: skim.note } : unavailable('its memory cannot be forked'),
        lookup: whole.rollsBack ? { available: true } : unavailable('its memory cannot be rolled back'),
        exit: exit ? { available: true, note: exit.note } : unavailable(exitNote(wanted, known, cutRefused)),
      },
    }
    // With one stage the whole model is that stage and leaves with the device; otherwise it has served its purpose.
    if (files.length > 1) whole[Symbol.dispose]()
    cleanup.move()
    return { info, device, template, exit, skim, cells, slots, parallel, log }
  } catch (error) {
    cleanup[Symbol.dispose]()
    throw error
  }
}

function checkOptions(options: EngineOptions): void {
  const check = (param: 'parallel' | 'contextLength' | 'cells' | 'threads', most: number) => {
    const value = options[param]
    if (value === undefined || (Number.isInteger(value) && value >= 1 && value <= most)) return
    throw new IncipitError('invalid_request', `${param} must be a whole number from 1 to ${most}, not ${value}`, {
      param,
    })
  }
  check('parallel', 64)
  check('contextLength', 2 ** 24)
  check('cells', 2 ** 30)
  check('threads', 512)
}

/** INCIPIT_THREADS, else all cores. */
function defaultThreads(): number {
  const wanted = Number(process.env.INCIPIT_THREADS)
  return Number.isInteger(wanted) && wanted > 0 ? wanted : availableParallelism()
}

function unavailable(note: string): { available: false; note: string } {
  return { available: false, note }
}

function exitNote(wanted: readonly number[], known: Exit | undefined, refused: string | undefined): string {
  if (refused !== undefined) return `the cut was refused: ${refused}`
  if (wanted.length > 0)
    return `no exit is fitted at layer ${wanted[0]}; fit one with \`incipit tune --exit --at ${wanted[0]}\``
  if (known === undefined)
    return 'the model runs as one stage; fit an exit with `incipit tune --exit`, or cut it with --cut'
  return `the one ${known.note} is rarely sure enough to be shown; try it with --cut ${known.at} --min-stability 0`
}

/** Two full contexts, or what all requests could use, but at most an eighth of the memory; one full context at least. */
function defaultCells(model: Model, contextLength: number, parallel: number): number {
  const affordable = Math.floor(process.availableMemory() / 8 / Math.max(1, model.cellBytes))
  return Math.max(contextLength, Math.min(contextLength * Math.min(parallel, 2), Math.floor(affordable / 256) * 256))
}

/** The first layer of a cut by hand. */
function at(cut: EngineOptions['cut']): number | undefined {
  return cut === undefined || cut === 'auto' || cut === 'none' ? undefined : cut[0]
}

/** `auto` cuts where an exit is known whose calibration reaches the default bound: an exit that may speak. */
function wantedCut(cut: NonNullable<EngineOptions['cut']>, exit: Exit | undefined, log: Log): readonly number[] {
  if (cut === 'none') return []
  if (cut !== 'auto') return cut
  if (exit === undefined) return []
  if (exit.shown.first < leastShown && exit.shown.later < leastShown) {
    log('info', `the exit after ${exit.at} layers may show under ${100 * leastShown}% of tokens at 0.9: not cut`)
    return []
  }
  return [exit.at]
}
