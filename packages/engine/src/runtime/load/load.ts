import { basename } from 'node:path'
import type { EngineOptions, Log } from '../../api/engine-options.ts'
import { IncipitError } from '../../api/errors.ts'
import type { ModelInfo, ModelMemory, ModelOffload } from '../../api/model-info.ts'
import { weightFormats } from '../../api/weight-formats.ts'
import { hasWindowAlone } from '../../core/kv/sequence-memory.ts'
import { type MachineConstants, machineConstants } from '../../core/schedule/machine-constants.ts'
import { architectureOf, defaultCacheDir, type Gguf, modelHash, readGguf } from '../../gguf/index.ts'
import { addNativeLog } from '../../llama/library.ts'
import { Model, plannedOffload } from '../../llama/model.ts'
import { Threadpool } from '../../llama/threadpool.ts'
import type { Vocab } from '../../llama/vocab.ts'
import { Acceptances } from '../../proposers/acceptances.ts'
import { FirstWords } from '../../proposers/first-words.ts'
import { Openings } from '../../proposers/opening.ts'
import { maxDraft } from '../../proposers/proposer.ts'
import { availability } from '../../proposers/registry.ts'
import type { ChatTemplate } from '../../text/template.ts'
import { Cleanup } from '../cleanup.ts'
import { defaultThreads } from '../default-threads.ts'
import { Device } from '../device.ts'
import type { DraftRunner } from '../draft-runner.ts'
import { Heads } from '../heads.ts'
import { LlamaExecutor } from '../llama-executor.ts'
import { machineMemory } from '../machine-memory.ts'
import { loadProfile, type Profile, type ProfileOf } from '../profile.ts'
import { Stage } from '../stage.ts'
import { type CacheLayout, cacheLayout, mostSnapshots } from './cache-layout.ts'
import { type DraftModelOptions, loadDraftModel } from './draft-model.ts'
import type { Exit } from './exit.ts'
import { fimTokens } from './fim-tokens.ts'
import { type HeadsOf, readHeads } from './heads-file.ts'
import { bytesOfLoras, checkedLoras, hashWithLoras, loadLoras } from './loras.ts'
import { cellsWanted, memoryNeed, type Placed, requireMemory } from './memory-need.ts'
import { type MemorySizes, memorySizes } from './memory-sizes.ts'
import { mtpDrafter, whyNoMtp } from './mtp.ts'
import { planCut, wantedCut } from './plan-cut.ts'
import { loadSkimCalibration } from './skim-calibration.ts'
import { slowFormat } from './slow-format.ts'
import { templateOf } from './template-of.ts'
import { tryMemory } from './try-memory.ts'
import { weightsIn } from './weights.ts'

/** Everything `Engine` runs on. */
export interface EngineParts {
  readonly info: ModelInfo
  readonly executor: LlamaExecutor
  readonly layout: CacheLayout
  readonly vocab: Vocab
  readonly template: ChatTemplate | undefined
  readonly exit: Exit | undefined
  readonly firstWords: FirstWords
  /** How replies began. */
  readonly openings: Openings
  /** What is known of the proposers' acceptance. */
  readonly acceptances: Acceptances
  /** What the profile of this model on this machine depends on, and what an earlier run learnt. */
  readonly profileOf: ProfileOf
  readonly profile: Profile | undefined
  readonly machine: MachineConstants
  /** Most rows of a step that have output. */
  readonly outputs: number
  readonly parallel: number
  readonly maxWaiting: number
  readonly log: Log
  /** Frees everything. */
  readonly dispose: () => void
}

/**
 * Loads a model as stages on devices.
 * @throws IncipitError for everything that can be wrong with the file, the library or the memory
 */
export async function load(path: string, options: EngineOptions): Promise<EngineParts> {
  checkOptions(options)
  const log = carefulLog(options.log)
  using cleanup = new Cleanup()
  if (options.log) cleanup.defer(addNativeLog(log))
  const cacheDir = options.cacheDir ?? defaultCacheDir()
  const file = options.format === undefined ? path : await weightsIn(options.format, path, cacheDir, log)
  const gguf = await readGguf(file)
  const wantedCells = cellsWanted(gguf, architectureOf(gguf), options)
  const placed = { gguf, offload: plannedOffload(gguf, { cells: wantedCells }) }
  const draft = await placedDraft(options, wantedCells, placed)
  const loras = checkedLoras(options)
  const need = memoryNeed(placed, wantedCells, draft)
  requireMemory({ ...need, weights: need.weights + (await bytesOfLoras(loras)) }, machineMemory())
  const hash = await hashWithLoras(await modelHash(file, cacheDir), loras, cacheDir)
  const noMtp = (options.draft ?? options.experts) ? 'another model drafts' : whyNoMtp(gguf)
  const whole = cleanup.use(await Model.load(file, { mtp: noMtp === undefined, cells: wantedCells }))
  const adapters = await loadLoras(whole, loras, cleanup)
  const contextLength = Math.max(1, Math.min(options.contextLength ?? 8192, whole.trainingContext || 8192))
  const parallel = options.parallel ?? 8
  const cutOptions = { cut: loras.length > 0 ? 'none' : options.cut, cacheDir, hash, log } as const
  const wanted = await wantedCut(gguf, cutOptions)
  const states = wanted.at.length > 0 || noMtp === undefined
  const { cells, cache, snapshots, slidingWindow } = options
  using pool = new Threadpool(threadsOfDevices(options.threads, 1)[0]!)
  const sizes = await memorySizes(whole, pool)
  const wishes = { contextLength, parallel, cells, cache, snapshots, slidingWindow }
  const layout = cacheLayout(whole, { ...wishes, states, sizes })
  const { slots } = layout
  if (!layout.memory.sharesCells) log('info', `a KV cache of ${contextLength} tokens for each of ${slots} sequences`)

  const cut = await planCut(whole, gguf, wanted, cutOptions)
  const template = templateOf(whole)
  // With one stage the whole model is that stage; otherwise it has served its purpose, and stages need its room on a GPU.
  if (cut.files.length > 1) whole[Symbol.dispose]()
  const exit = typeof cut.exit === 'string' ? undefined : cut.exit
  const devices = threadsOfDevices(options.threads, cut.files.length).map((threads) => cleanup.use(new Device(threads)))
  const ranges = cut.files.map(({ from, to }) => [from, to] as const)
  const profileOf: ProfileOf = {
    cacheDir,
    hash,
    stages: ranges,
    threads: devices.map((device) => device.threadpool.threads),
    cache: layout.memory.sharesCells ? 'unified' : 'separate',
    gpuLayers: whole.offload?.layers ?? 0,
  }
  const profile = await loadProfile(profileOf, log)
  const machine = profile?.machine ?? machineConstants
  // Where steps may run meanwhile it needs threads of its own. Its context holds them.
  using own = devices.length > 1 ? new Threadpool(devices[0]!.threadpool.threads) : undefined
  const threadpool = own ?? devices[0]!.threadpool
  // Of GPUs the cache of the model itself, which is made later.
  const reserved = layout.bytes * (whole.offload?.cacheShare ?? 0)
  const shape = { cells: layout.cells, sequences: slots, batch: machine.batchRows, threadpool, reserved }
  const drafts = noMtp === undefined ? mtpDrafter(whole, shape) : await draftRunner(gguf, options, shape, log)
  if (drafts) cleanup.use(drafts)
  // Every sequence verifies a draft; or a prompt is scored, a tile or more at a time, beside the next tokens of replies.
  const outputs = Math.min(machine.batchRows, Math.max(2 * machine.tileRows, slots * (maxDraft + 1)))
  const stages: Stage[] = []
  for (const [index, file] of cut.files.entries()) {
    const model = cut.files.length === 1 ? whole : await Model.load(file.path, { cells: layout.cells })
    const device = devices[Math.min(index, devices.length - 1)]!
    const stage = new Stage(model, device, {
      ...file,
      cells: layout.cells,
      slots,
      unified: layout.memory.sharesCells,
      snapshots: layout.memory.snapshots,
      windowAlone: hasWindowAlone(layout.memory),
      cacheBytes: (layout.bytes * (file.to - file.from)) / whole.layers,
      batch: machine.batchRows,
      outputs,
      adapters,
      drafter: file.last ? drafts : undefined,
    })
    stages.push(cleanup.use(stage))
  }
  const memory = await tryMemory(stages[0]!.context, layout.memory, log)
  const skim = await loadSkimCalibration(cacheDir, hash, log)
  const { vocab } = stages[0]!.model
  const heads = await loadHeads(options.heads, exit, { hash, embedding: whole.embedding, vocabulary: vocab.size })
  const name = basename(path).replace(/\.gguf$/i, '')
  const slow = profileOf.gpuLayers === 0 ? slowFormat(gguf) : undefined
  const fim = fimTokens(vocab, { name, architecture: whole.architecture })
  const info: ModelInfo = {
    name,
    path,
    architecture: whole.architecture,
    description: whole.description,
    layers: whole.layers,
    embedding: whole.embedding,
    vocabulary: vocab.size,
    contextLength,
    parallel,
    hasChatTemplate: template !== undefined,
    ...(template && { chatTemplate: template.source }),
    ...(template?.reasoning && { reasoning: template.reasoning }),
    ...(vocab.addsBos && { begin: vocab.bos }),
    ...(fim && { fim }),
    ...(loras.length > 0 && { loras }),
    memory: modelMemory({ ...layout, memory }, sizes),
    cache: profileOf.cache,
    stages: ranges,
    ...modelOffload(stages),
    ...(slow !== undefined && { slowFormat: slow }),
    ...(cut.refused === undefined ? {} : { cutRefused: cut.refused }),
    proposers: availability({
      memory,
      snapshots: sizes.snapshots,
      skimNote: skim.note,
      exit: cut.exit,
      draftModel: drafts && { name: drafts.name, ...draftNote(options) },
      heads: heads !== undefined,
      noMtp,
    }),
  }
  const held = cleanup.move()
  return {
    info,
    executor: new LlamaExecutor({ stages, devices, drafts, heads }),
    layout: { ...layout, memory },
    vocab,
    template,
    exit,
    firstWords: new FirstWords(skim, profile?.firstWords),
    openings: new Openings(),
    acceptances: new Acceptances(profile?.acceptances),
    profileOf,
    profile,
    machine,
    outputs,
    parallel,
    maxWaiting: options.maxWaiting ?? 1024,
    log,
    dispose: () => held[Symbol.dispose](),
  }
}

function modelMemory({ memory, bytes }: CacheLayout, sizes: MemorySizes): ModelMemory {
  const { recurrent, dropsRows, window, snapshots } = memory
  const kind = recurrent ? 'recurrent' : window > 0 ? 'window' : 'attention'
  const snapshotsLeftOut = sizes.snapshots ? mostSnapshots - snapshots : 0
  return { kind, window, allRows: dropsRows, snapshots, snapshotsLeftOut, bytes }
}

function modelOffload(stages: readonly Stage[]): { offload?: ModelOffload } {
  const parts = stages.flatMap(({ model }) => (model.offload ? [{ ...model.offload, of: model.layers + 1 }] : []))
  if (parts.length === 0) return {}
  const sum = (read: (part: (typeof parts)[number]) => number) => parts.reduce((total, part) => total + read(part), 0)
  const devices = new Set(parts.flatMap(({ devices }) => devices.map(({ description }) => description)))
  return { offload: { layers: sum(({ layers }) => layers), of: sum(({ of }) => of), devices: [...devices] } }
}

function checkOptions(options: EngineOptions): void {
  const check = (
    param: 'parallel' | 'maxWaiting' | 'contextLength' | 'cells' | 'threads' | 'snapshots',
    max: number,
    value = options[param],
    min = 1,
  ) => {
    if (value === undefined || (Number.isInteger(value) && Number(value) >= min && Number(value) <= max)) return
    const message = `${param} must be a whole number from ${min} to ${max}, not ${value}`
    throw new IncipitError('invalid_request', message, { param })
  }
  check('parallel', 64)
  check('maxWaiting', 2 ** 24)
  check('contextLength', 2 ** 24)
  check('cells', 2 ** 30)
  check('snapshots', mostSnapshots, options.snapshots, 0)
  for (const threads of [options.threads ?? 1].flat()) check('threads', 512, threads)
  if (options.format !== undefined && !weightFormats.includes(options.format)) {
    const message = `format must be one of ${weightFormats.join(', ')}, not ${options.format}`
    throw new IncipitError('invalid_request', message, { param: 'format' })
  }
}

/** A log that throws must not end what it is told of. */
function carefulLog(log: Log | undefined): Log {
  return (level, message) => {
    try {
      log?.(level, message)
    } catch {
      // There is nobody left to tell.
    }
  }
}

/** Compute threads of each device: of one for all stages, or, where a list is given, of one per stage. */
function threadsOfDevices(wanted: EngineOptions['threads'], stages: number): readonly number[] {
  if (typeof wanted === 'number' || wanted === undefined) return [wanted ?? defaultThreads()]
  return wanted.slice(0, stages)
}

/** The model that will draft, as far as it needs memory of its own. */
async function placedDraft({ draft }: EngineOptions, cells: number, { offload }: Placed): Promise<Placed | undefined> {
  if (draft === undefined) return undefined
  const gguf = await readGguf(draft)
  return { gguf, offload: plannedOffload(gguf, { cells, reserved: offload?.bytes ?? 0 }) }
}

/** The model that drafts: another one, or this one with fewer experts. */
async function draftRunner(
  target: Gguf,
  { draft, experts }: EngineOptions,
  shape: Omit<DraftModelOptions, 'experts'>,
  log: Log,
): Promise<DraftRunner | undefined> {
  if (draft !== undefined && experts !== undefined) {
    throw new IncipitError('invalid_request', 'give draft or experts, not both', { param: 'draft' })
  }
  if (draft !== undefined) return loadDraftModel(draft, target, shape, log)
  return experts === undefined ? undefined : loadDraftModel(target.path, target, { ...shape, experts }, log)
}

function draftNote({ draft, experts }: EngineOptions): { note?: string } {
  if (draft !== undefined) return { note: draft }
  return experts === undefined ? {} : { note: `${experts} active experts` }
}

async function loadHeads(
  path: string | undefined,
  exit: Exit | undefined,
  of: Pick<HeadsOf, 'hash' | 'embedding' | 'vocabulary'>,
): Promise<Heads | undefined> {
  if (path === undefined) return undefined
  if (exit === undefined) {
    const message = 'heads read the state of an exit, and this model runs without one'
    throw new IncipitError('invalid_request', message, { param: 'heads' })
  }
  return new Heads(await readHeads(path, { ...of, layer: exit.at }))
}
