import { availableParallelism } from 'node:os'
import { IncipitError, type Log } from '@incipit/engine/api'
import { requireExit } from '../../require-exit.ts'
import type { ServedEngine } from '../../served-engine.ts'
import {
  type EmbedderInUse,
  embedsNot,
  type ModelCard,
  type ModelDirectory,
  type ModelGuest,
  type ModelInUse,
  onlyEmbeds,
  unknownModel,
} from '../model-directory.ts'
import type { PooledEmbedder, PooledEngine, PoolModel } from './pool-model.ts'
import { type OnComputing, PoolSlot, type PoolWorker } from './pool-slot.ts'
import { ThreadShare } from './thread-share.ts'

export interface PoolOptions {
  /** Bytes that the loaded models may take together, as far as it is known what they take. */
  memory: number
  /** Where there is one model only, it refuses requests for one of another name. Default false. */
  strict?: boolean
  /** Cores that the models which compute share. Default: the machine's. */
  cores?: number
  log?: Log
}

/** A model with the places of what it is loaded as. */
interface Entry {
  readonly model: PoolModel
  readonly engine: PoolSlot<PooledEngine> | undefined
  readonly embedder: PoolSlot<PooledEmbedder> | undefined
}

/**
 * Several models, each in an engine of its own. A model is loaded when it is first asked for, one after the other, and
 * unloaded when nobody has used it for its time, or when another one wants its memory: those that nobody uses first, the
 * longest unused one before others; then those that are in use, when their requests have ended, and new ones wait.
 */
export class ModelPool implements ModelDirectory, AsyncDisposable {
  readonly #entries: readonly Entry[]
  readonly #slots: readonly PoolSlot[]
  readonly #byName = new Map<string, Entry>()
  readonly #options: Required<Pick<PoolOptions, 'memory' | 'strict' | 'log'>>
  readonly #threads: ThreadShare
  /** Models are loaded one at a time, in the order in which they are wanted. */
  #queue: Promise<void> = Promise.resolve()
  #closed = false

  /**
   * @param models the first one answers requests that name none
   * @throws IncipitError `invalid_request` for no model, and for a name that is given twice
   */
  constructor(models: readonly PoolModel[], options: PoolOptions) {
    const { memory, strict = false, log = () => {}, cores = availableParallelism() } = options
    this.#options = { memory, strict, log }
    this.#threads = new ThreadShare(cores)
    if (models.length === 0) throw new IncipitError('invalid_request', 'there is no model to serve')
    this.#entries = models.map((model) => this.#entryOf(model))
    this.#slots = this.#entries.flatMap(({ engine, embedder }) =>
      [engine, embedder].filter((slot) => slot !== undefined),
    )
    for (const entry of this.#entries) {
      for (const name of [entry.model.name, ...(entry.model.aliases ?? [])]) {
        if (this.#byName.has(name)) {
          throw new IncipitError('invalid_request', `the name ${JSON.stringify(name)} is given to two models`)
        }
        this.#byName.set(name, entry)
      }
    }
  }

  /** All that is loaded has failed: whoever asks may try again later. */
  get failure(): IncipitError | undefined {
    const failures = this.#slots.flatMap(({ worker }) => (worker ? [worker.failure] : []))
    return failures.every((failure) => failure !== undefined) ? failures[0] : undefined
  }

  list(): readonly ModelCard[] {
    return this.#entries.map(({ model, engine, embedder }) => ({
      name: model.name,
      aliases: model.aliases ?? [],
      status: statusOf([engine, embedder]),
    }))
  }

  async use(name: string | undefined, signal?: AbortSignal): Promise<ModelInUse> {
    const { model, slot } = this.#engineSlot(name)
    const { worker: engine, release } = await this.#claim(slot, signal)
    let end = release
    const stay = (leave: () => void): ModelGuest => {
      const guest = slot.invite(leave)
      release()
      end = () => guest.end()
      return guest
    }
    return { name: model.name, engine, defaults: model.defaults ?? {}, stay, [Symbol.dispose]: () => end() }
  }

  async useEmbedder(name: string | undefined, signal?: AbortSignal): Promise<EmbedderInUse> {
    const { model, embedder: slot } = this.#find(name, ({ engine }) => engine === undefined)
    if (!slot) throw embedsNot(model.name)
    const { worker: embedder, release } = await this.#claim(slot, signal)
    return { name: model.name, embedder, [Symbol.dispose]: release }
  }

  loaded(name: string | undefined): ServedEngine | undefined {
    const entry = name === undefined ? this.#only : this.#byName.get(name)
    return entry?.engine?.leaving ? undefined : entry?.engine?.worker
  }

  follow(name: string | undefined, told: (engine: ServedEngine | undefined) => void): () => void {
    return this.#engineSlot(name).slot.follow(told)
  }

  /** Unloads all; who still uses one sees its engine closed. */
  async close(): Promise<void> {
    this.#closed = true
    const endAll = () => Promise.all(this.#slots.map((slot) => this.#end(slot)))
    await endAll()
    await this.#queue
    await endAll()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // --- names --------------------------------------------------------------------------------------------------------

  #entryOf(model: PoolModel): Entry {
    const { name, weights, idleMs, pinned = false, start, startEmbedder, defaults } = model
    const unloadIdle = (slot: PoolSlot) => void (slot.worker && !slot.used && this.#unload(slot))
    const spec = { name, weights, idleMs }
    return {
      model,
      engine:
        start &&
        new PoolSlot(
          { ...spec, pinned, start: async (told) => withPolicy(await start(told), defaults?.policy) },
          unloadIdle,
        ),
      embedder:
        startEmbedder &&
        // What stays loaded is what the model was made for.
        new PoolSlot({ ...spec, pinned: pinned && !start, start: (told) => startEmbedder(told) }, unloadIdle),
    }
  }

  get #only(): Entry | undefined {
    return this.#entries.length === 1 ? this.#entries[0] : undefined
  }

  /** @param suits which one answers requests that name none */
  #find(name: string | undefined, suits: (entry: Entry) => boolean): Entry {
    if (name === undefined) return this.#entries.find(suits) ?? this.#entries[0]!
    const entry = this.#byName.get(name) ?? (this.#options.strict ? undefined : this.#only)
    if (entry) return entry
    const names = this.#entries.map(({ model }) => model.name)
    throw unknownModel(name, names)
  }

  #engineSlot(name: string | undefined): { model: PoolModel; slot: PoolSlot<PooledEngine> } {
    const { model, engine: slot } = this.#find(name, ({ engine }) => engine !== undefined)
    if (!slot) throw onlyEmbeds(model.name)
    return { model, slot }
  }

  // --- loading and unloading ----------------------------------------------------------------------------------------

  /** Loads what is not loaded, and keeps it until it is released. */
  async #claim<W extends PoolWorker>(
    slot: PoolSlot<W>,
    signal: AbortSignal | undefined,
  ): Promise<{ worker: W; release: () => void }> {
    for (;;) {
      if (this.#closed) throw new IncipitError('closed', 'the server is closing')
      if (slot.leaving) await until(slot.leaving, signal)
      else {
        const release = slot.claim()
        try {
          if (slot.worker === undefined) await until(this.#load(slot), signal)
        } catch (error) {
          release()
          throw error
        }
        const { worker } = slot
        if (worker) return { worker, release }
        release()
      }
    }
  }

  #load(slot: PoolSlot): Promise<void> {
    slot.loading ??= (async () => {
      const turn = this.#queue
      const { promise: done, resolve } = Promise.withResolvers<void>()
      this.#queue = done
      await turn
      try {
        await this.#start(slot)
      } finally {
        slot.loading = undefined
        resolve()
      }
    })()
    return slot.loading
  }

  async #start(slot: PoolSlot): Promise<void> {
    // Who wanted it may have gone meanwhile.
    const wanted = () => slot.used && !this.#closed
    if (!wanted()) return
    this.#requireRoom(slot)
    for (;;) {
      const victim = this.#hasRoom(slot.bytes) ? undefined : this.#victims()[0]
      if (victim === undefined) break
      await this.#unload(victim)
    }
    if (!wanted()) return
    const started = performance.now()
    slot.worker = await this.#startWithRoom(slot)
    const seconds = (performance.now() - started) / 1000
    this.#options.log('info', `the model ${slot.spec.name} is loaded, in ${seconds.toFixed(1)} s`)
    // Only now it is known what it takes beside its files.
    const idle = () => this.#victims().find((other) => other !== slot && !other.used)
    for (let victim = idle(); victim && !this.#hasRoom(0); victim = idle()) await this.#unload(victim)
  }

  async #startWithRoom<W extends PoolWorker>(slot: PoolSlot<W>): Promise<W> {
    for (;;) {
      let worker: W | undefined
      let computes = false
      const onComputing: OnComputing = (computing) => {
        computes = computing
        if (worker) this.#threads.set(worker, computing)
      }
      try {
        worker = await slot.spec.start(onComputing)
        this.#threads.add(worker)
        this.#threads.set(worker, computes)
        return worker
      } catch (error) {
        // What the machine has left is another matter than what models may take.
        const victim = isOutOfMemory(error) ? this.#victims()[0] : undefined
        if (victim === undefined) throw error
        await this.#unload(victim)
      }
    }
  }

  /** @throws IncipitError `context_memory` for what would not fit beside those that stay */
  #requireRoom({ spec, bytes }: PoolSlot): void {
    const pinned = this.#slots.filter((other) => other.worker && other.spec.pinned)
    const free = this.#options.memory - bytesOf(pinned)
    if (pinned.length === 0 || bytes <= free) return
    const rest = `beside those that stay loaded ${gigabytes(free)} are left`
    throw new IncipitError('context_memory', `the model ${spec.name} needs ${gigabytes(bytes)}, and ${rest}`)
  }

  #hasRoom(bytes: number): boolean {
    return bytesOf(this.#slots.filter(({ worker }) => worker)) + bytes <= this.#options.memory
  }

  /** What may be unloaded, in the order in which it would be. */
  #victims(): PoolSlot[] {
    const candidates = this.#slots.filter(({ worker, spec }) => worker && !spec.pinned)
    return candidates.sort((a, b) => Number(a.used) - Number(b.used) || a.lastUsed - b.lastUsed)
  }

  /** Unloads a model when its requests have ended; new ones wait for that. */
  #unload(slot: PoolSlot): Promise<void> {
    slot.leaving ??= (async () => {
      slot.dismissGuests()
      await slot.unused()
      await this.#end(slot)
      slot.leaving = undefined
      this.#options.log('info', `the model ${slot.spec.name} is unloaded`)
    })()
    return slot.leaving
  }

  async #end(slot: PoolSlot): Promise<void> {
    const { worker } = slot
    slot.worker = undefined
    if (!worker) return
    this.#threads.remove(worker)
    try {
      await worker.close()
    } catch (error) {
      this.#options.log('error', `the model ${slot.spec.name} did not end as it should: ${error}`)
    }
  }
}

/** @throws IncipitError `invalid_request` for a policy that is impossible on this model; then it is closed */
async function withPolicy(
  engine: PooledEngine,
  policy: NonNullable<PoolModel['defaults']>['policy'],
): Promise<PooledEngine> {
  try {
    if (policy) requireExit(policy, engine.info, 'policy')
    return engine
  } catch (error) {
    await engine.close()
    throw error
  }
}

function statusOf(slots: readonly (PoolSlot | undefined)[]): ModelCard['status'] {
  if (slots.some((slot) => slot?.worker && !slot.leaving)) return 'loaded'
  return slots.some((slot) => slot?.loading) ? 'loading' : 'unloaded'
}

function bytesOf(slots: readonly PoolSlot[]): number {
  return slots.reduce((sum, { bytes }) => sum + bytes, 0)
}

function isOutOfMemory(error: unknown): boolean {
  return error instanceof IncipitError && error.code === 'context_memory'
}

function gigabytes(bytes: number): string {
  return `${(Math.max(0, bytes) / 2 ** 30).toFixed(1)} GiB`
}

/** The promise, or the signal's end of the wait. */
async function until(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return promise
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<void>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
