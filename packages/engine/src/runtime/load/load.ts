import { availableParallelism } from 'node:os'
import { basename } from 'node:path'
import { IncipitError } from '../../api/errors.ts'
import type { EngineOptions, Log, ModelInfo } from '../../api/request.ts'
import { defaultCacheDir, type Gguf, modelHash, readGguf, stageFiles } from '../../gguf/index.ts'
import { setNativeLog } from '../../llama/library.ts'
import { Model } from '../../llama/model.ts'
import { Threadpool } from '../../llama/threadpool.ts'
import { Acceptances } from '../../proposers/acceptances.ts'
import { Heads } from '../../proposers/heads.ts'
import { Openings } from '../../proposers/opening.ts'
import type { ChatTemplate } from '../../text/template.ts'
import { templateOf } from '../../text/template-of.ts'
import { Device } from '../device.ts'
import type { DraftRunner } from '../draft-runner.ts'
import { loadProfile, type Profile, type ProfileOf } from '../profile.ts'
import { Stage } from '../stage.ts'
import { loadDraftModel } from './draft-model.ts'
import { carriedExit, type Exit, findExit } from './exit.ts'
import { type HeadsOf, readHeads } from './heads-file.ts'
import { mtpDrafter, whyNoMtp } from './mtp.ts'
import { loadSkimCalibration, type SkimCalibration } from './skim-calibration.ts'
import { verifyCut } from './verify-cut.ts'

/** Most draft tokens in one step of a sequence. */
export const maxDrafts = 8
// Two stages cost more per token than one: an exit that may show less than this is not worth it.
const minShown = 0.1
/** KV cells a request may use beside its prompt and reply: the drafts of a step and the tail of a look. */
export const slackCells = 64
/** Slots for looks and for texts that are still being written, beside those of requests. */
const spareSlots = 4
const noRollback = 'its memory cannot be rolled back'
// From this many requests at once on, a cache for each of them is worth its memory.
const manyRequests = 4
// Shares of the available memory: for the KV cache, and for rows that are kept outside of it.
const memoryShare = 8
const keptShare = 16
/** Rows of one decode, and of one pass inside it: an abort or a new arrival waits for at most one pass. */
export const batchRows = 512
/**
 * llama.cpp computes attention for so many rows of a batch together on a CPU (GGML_FA_TILE_Q); with fewer it goes cell by
 * cell, so that 64 rows behind 1,000 others take less time than 32.
 */
export const tileRows = 64

/** Everything `Engine` runs on. */
export interface EngineParts {
  info: ModelInfo
  stages: readonly Stage[]
  /** Where the stages live; one device for all of them is the ordinary case. */
  devices: readonly Device[]
  template: ChatTemplate | undefined
  exit: Exit | undefined
  skim: SkimCalibration
  /** What drafts for all replies at once. */
  second: { readonly name: 'draft' | 'experts' | 'mtp'; readonly model: DraftRunner } | undefined
  heads: Heads | undefined
  /** How replies began. */
  openings: Openings
  /** What the profile of this model on this machine depends on, and what an earlier run learnt. */
  profileOf: ProfileOf
  profile: Profile | undefined
  /** What is known of the proposers' acceptance. */
  acceptances: Acceptances
  cells: number
  slots: number
  /** One KV cache for all, or one for every slot. */
  unified: boolean
  /** Most memory for rows of requests that are over. */
  keptBytes: number
  parallel: number
  log: Log
}

/**
 * Loads a model as stages on one CPU device.
 * @throws IncipitError for everything that can be wrong with the file, the library or the memory
 */
export async function load(path: string, options: EngineOptions): Promise<EngineParts> {
  const log = options.log ?? (() => {})
  checkOptions(options)
  setNativeLog(options.log)
  const gguf = await readGguf(path)
  const cacheDir = options.cacheDir ?? defaultCacheDir()
  const hash = await modelHash(path, cacheDir)
  const noMtp = (options.draft ?? options.experts) ? 'another model drafts' : whyNoMtp(gguf)
  const whole = await Model.load(path, { mtp: noMtp === undefined })
  const cleanup = new DisposableStack()
  cleanup.use(whole)
  try {
    const contextLength = Math.max(1, Math.min(options.contextLength ?? 8192, whole.trainingContext || 8192))
    const parallel = options.parallel ?? 8
    const known = (await findExit(cacheDir, hash, at(options.cut))) ?? carriedExit(gguf.metadata)
    const wanted = wantedCut(options.cut ?? 'auto', known, log)
    const states = wanted.length > 0 || noMtp === undefined
    const { slots, cells, unified } = layout(whole, contextLength, parallel, options.cells, states)
    // Of a sliding window llama.cpp saves only the window: its rows cannot be kept outside the cache.
    const keptBytes = whole.window > 0 || !whole.rollsBack ? 0 : Math.floor(process.availableMemory() / keptShare)
    if (!unified) log('info', `a KV cache of ${contextLength} tokens for each of ${slots} sequences`)

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

    const devices = threadsOfDevices(options.threads, files.length).map((threads) => cleanup.use(new Device(threads)))
    // Where steps may run meanwhile it needs threads of its own. Its context holds them.
    using own = devices.length > 1 ? new Threadpool(devices[0]!.threadpool.threads) : undefined
    const threadpool = own ?? devices[0]!.threadpool
    const shape = { cells, sequences: slots, batch: batchRows, threadpool }
    const second =
      noMtp === undefined
        ? { name: 'mtp' as const, model: mtpDrafter(whole, shape) }
        : await secondModel(gguf, options, shape)
    if (second) cleanup.use(second.model)
    const stages: Stage[] = []
    for (const [index, file] of files.entries()) {
      const model = files.length === 1 ? whole : await Model.load(file.path)
      const device = devices[Math.min(index, devices.length - 1)]!
      const outputs = slots * (maxDrafts + 1)
      const drafter = file.last ? second?.model : undefined
      const stageOptions = { ...file, cells, slots, unified, batch: batchRows, outputs, drafter }
      stages.push(cleanup.use(new Stage(model, device, stageOptions)))
    }
    const skim = await loadSkimCalibration(cacheDir, hash)
    const heads = await loadHeads(options.heads, exit, {
      hash,
      embedding: whole.embedding,
      vocabulary: whole.vocab.size,
    })
    const vocab = stages[0]!.model.vocab
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
      cache: unified ? 'unified' : 'separate',
      stages: files.map(({ from, to }) => [from, to] as const),
      ...(cutRefused === undefined ? {} : { cutRefused }),
      proposers: {
        skim: whole.rollsBack ? { available: true, note: skim.note } : unavailable('its memory cannot be forked'),
        lookup: whole.rollsBack ? { available: true } : unavailable(noRollback),
        exit: exit ? { available: true, note: exit.note } : unavailable(exitNote(wanted, known, cutRefused)),
        opening: whole.rollsBack ? { available: true } : unavailable(noRollback),
        prediction: whole.rollsBack ? { available: true } : unavailable(noRollback),
        grammar: whole.rollsBack ? { available: true } : unavailable(noRollback),
        draft:
          second?.name === 'draft' ? { available: true, note: options.draft! } : unavailable('no draft model given'),
        experts:
          second?.name === 'experts'
            ? { available: true, note: `${options.experts} active experts` }
            : unavailable('the number of active experts was not given'),
        heads: heads ? { available: true } : unavailable(exit ? 'no file of heads given' : 'the model has no exit'),
        mtp: noMtp === undefined ? { available: true } : unavailable(noMtp),
      },
    }
    const profileOf: ProfileOf = {
      cacheDir,
      hash,
      stages: info.stages,
      threads: devices.map((device) => device.threadpool.threads),
      cache: info.cache,
    }
    const profile = await loadProfile(profileOf)
    // With one stage the whole model is that stage and leaves with it; otherwise it has served its purpose.
    if (files.length > 1) whole[Symbol.dispose]()
    cleanup.move()
    return {
      info,
      stages,
      devices,
      template,
      exit,
      skim,
      second,
      heads,
      acceptances: new Acceptances(profile?.acceptances),
      openings: new Openings(),
      profileOf,
      profile,
      cells,
      slots,
      unified,
      keptBytes,
      parallel,
      log,
    }
  } catch (error) {
    cleanup[Symbol.dispose]()
    throw error
  }
}

function checkOptions(options: EngineOptions): void {
  const check = (param: 'parallel' | 'contextLength' | 'cells' | 'threads', most: number, value = options[param]) => {
    if (value === undefined || (Number.isInteger(value) && Number(value) >= 1 && Number(value) <= most)) return
    throw new IncipitError('invalid_request', `${param} must be a whole number from 1 to ${most}, not ${value}`, {
      param,
    })
  }
  check('parallel', 64)
  check('contextLength', 2 ** 24)
  check('cells', 2 ** 30)
  for (const threads of [options.threads ?? 1].flat()) check('threads', 512, threads)
}

/** Compute threads of each device: of one for all stages, or, where a list is given, of one per stage. */
function threadsOfDevices(wanted: EngineOptions['threads'], stages: number): readonly number[] {
  if (typeof wanted === 'number' || wanted === undefined) return [wanted ?? defaultThreads()]
  return wanted.slice(0, stages)
}

/** The model that drafts: another one, or this one with fewer experts. */
async function secondModel(
  target: Gguf,
  { draft, experts }: EngineOptions,
  shape: { cells: number; sequences: number; batch: number; threadpool: Threadpool },
): Promise<EngineParts['second']> {
  if (draft !== undefined && experts !== undefined) {
    throw new IncipitError('invalid_request', 'give draft or experts, not both', { param: 'draft' })
  }
  if (draft !== undefined) return { name: 'draft', model: await loadDraftModel(draft, target, shape) }
  if (experts === undefined) return undefined
  return { name: 'experts', model: await loadDraftModel(target.path, target, { ...shape, experts }) }
}

async function loadHeads(
  path: string | undefined,
  exit: Exit | undefined,
  of: Pick<HeadsOf, 'hash' | 'embedding' | 'vocabulary'>,
): Promise<Heads | undefined> {
  if (path === undefined) return undefined
  if (exit === undefined) {
    throw new IncipitError('invalid_request', 'heads read the state of an exit, and this model runs without one', {
      param: 'heads',
    })
  }
  return new Heads(await readHeads(path, { ...of, layer: exit.at }))
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

/**
 * Slots and KV cells. Where many requests may run at once, each slot has a cache of its own, as long as that takes no more
 * than an eighth of the memory: attention then never walks over the cells of others. Otherwise all share one cache of two
 * full contexts, or what all requests could use, but at most an eighth of the memory; one full context at least.
 * @param states states of rows are wanted, between stages or for drafts: only one cache for all gives them
 */
function layout(
  model: Model,
  contextLength: number,
  parallel: number,
  wanted: number | undefined,
  states: boolean,
): { slots: number; cells: number; unified: boolean } {
  const affordable = Math.floor(process.availableMemory() / memoryShare / Math.max(1, model.cellBytes))
  const slots = parallel + spareSlots
  // llama.cpp rounds the cells of a cache up to this.
  const each = Math.ceil((contextLength + slackCells) / 256) * 256
  const copies = model.window === 0 && model.rollsBack && !states
  if (wanted === undefined && copies && parallel >= manyRequests && slots * each <= affordable) {
    return { slots, cells: slots * each, unified: false }
  }
  const some = Math.min(contextLength * Math.min(parallel, 2), Math.floor(affordable / 256) * 256)
  const cells = wanted ?? Math.max(contextLength, some)
  // Forks share cells here and cost nothing: every request may look, and many texts be written.
  return { slots: 2 * parallel + 4 * spareSlots, cells: cells + parallel * slackCells, unified: true }
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
  if (exit.shown.first < minShown && exit.shown.later < minShown) {
    log('info', `the exit after ${exit.at} layers may show under ${100 * minShown}% of tokens at 0.9: not cut`)
    return []
  }
  return [exit.at]
}
