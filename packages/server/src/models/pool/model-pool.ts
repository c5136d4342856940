import { availableParallelism } from 'node:os'
import { IncipitError, type Log } from '@incipit/engine/api'
import type { ServedEngine } from '../../served-engine.ts'
import { type ModelCard, type ModelDirectory, type ModelInUse, unknownModel } from '../model-directory.ts'
import { type PooledEngine, PooledModel, type PoolModel } from './pooled-model.ts'
import { ThreadShare } from './thread-share.ts'

export interface PoolOptions {
  /** Bytes that the loaded models may take together, by their own estimates. */
  memory: number
  /** Where there is one model only, it refuses requests for one of another name. Default false. */
  strict?: boolean
  /** Cores that the models which compute share. Default: the machine's. */
  cores?: number
  log?: Log
}

/**
 * Several models, each in an engine of its own. A model is loaded when it is first asked for, one after the other, and
 * unloaded when nobody has used it for its time, or when another one wants its memory: those that nobody uses first, the
 * longest unused one before others; then those that are in use, when their requests have ended, and new ones wait.
 */
export class ModelPool implements ModelDirectory, AsyncDisposable {
  readonly #models: readonly PooledModel[]
  readonly #byName = new Map<string, PooledModel>()
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
    this.#models = models.map((spec) => new PooledModel(spec, (model) => this.#unloadIdle(model)))
    if (models.length === 0) throw new IncipitError('invalid_request', 'there is no model to serve')
    for (const model of this.#models) {
      for (const name of [model.spec.name, ...(model.spec.aliases ?? [])]) {
        if (this.#byName.has(name)) {
          throw new IncipitError('invalid_request', `the name ${JSON.stringify(name)} is given to two models`)
        }
        this.#byName.set(name, model)
      }
    }
  }

  /** All loaded engines have failed: whoever asks may try again later. */
  get failure(): IncipitError | undefined {
    const failures = this.#models.flatMap(({ engine }) => (engine ? [engine.failure] : []))
    return failures.every((failure) => failure !== undefined) ? failures[0] : undefined
  }

  list(): readonly ModelCard[] {
    return this.#models.map((model) => ({
      name: model.spec.name,
      aliases: model.spec.aliases ?? [],
      status: model.engine && !model.leaving ? 'loaded' : model.loading ? 'loading' : 'unloaded',
    }))
  }

  async use(name: string | undefined, signal?: AbortSignal): Promise<ModelInUse> {
    const model = this.#find(name)
    for (;;) {
      if (this.#closed) throw new IncipitError('closed', 'the server is closing')
      if (model.leaving) await until(model.leaving, signal)
      else {
        const release = model.claim()
        try {
          if (model.engine === undefined) await until(this.#load(model), signal)
          const { engine } = model
          const { name, defaults = {} } = model.spec
          if (engine) return { name, engine, defaults, [Symbol.dispose]: release }
        } catch (error) {
          release()
          throw error
        }
        release()
      }
    }
  }

  loaded(name: string | undefined): ServedEngine | undefined {
    const model = name === undefined ? this.#only : this.#byName.get(name)
    return model?.leaving ? undefined : model?.engine
  }

  /** Unloads all; who still uses one sees its engine closed. */
  async close(): Promise<void> {
    this.#closed = true
    const endAll = () => Promise.all(this.#models.map((model) => this.#end(model)))
    await endAll()
    await this.#queue
    await endAll()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  get #only(): PooledModel | undefined {
    return this.#models.length === 1 ? this.#models[0] : undefined
  }

  #find(name: string | undefined): PooledModel {
    if (name === undefined) return this.#models[0]!
    const model = this.#byName.get(name) ?? (this.#options.strict ? undefined : this.#only)
    if (model) return model
    const names = this.#models.map(({ spec }) => spec.name)
    throw unknownModel(name, names)
  }

  #load(model: PooledModel): Promise<void> {
    model.loading ??= (async () => {
      const turn = this.#queue
      const { promise: done, resolve } = Promise.withResolvers<void>()
      this.#queue = done
      await turn
      try {
        // Who wanted it may have gone meanwhile.
        if (model.used && !this.#closed) await this.#start(model)
      } finally {
        model.loading = undefined
        resolve()
      }
    })()
    return model.loading
  }

  async #start(model: PooledModel): Promise<void> {
    const { name } = model.spec
    this.#requireRoom(model)
    for (;;) {
      const victim = this.#hasRoom(model.bytes) ? undefined : this.#victim()
      if (victim === undefined) break
      await this.#unload(victim)
    }
    const started = performance.now()
    const engine = await this.#startWithRoom(model)
    const seconds = (performance.now() - started) / 1000
    this.#options.log('info', `the model ${name} is loaded, in ${seconds.toFixed(1)} s`)
    model.engine = engine
    // Only now it is known what its caches take.
    const idle = () => this.#victims().find((other) => other !== model && !other.used)
    for (let victim = idle(); victim && !this.#hasRoom(0); victim = idle()) await this.#unload(victim)
  }

  async #startWithRoom(model: PooledModel): Promise<PooledEngine> {
    for (;;) {
      let engine: PooledEngine | undefined
      let computes = false
      const onComputing = (computing: boolean) => {
        computes = computing
        if (engine) this.#threads.set(engine, computing)
      }
      try {
        engine = await model.spec.start(onComputing)
        this.#threads.add(engine)
        this.#threads.set(engine, computes)
        return engine
      } catch (error) {
        // What the machine has left is another matter than what models may take.
        const victim = isOutOfMemory(error) ? this.#victim() : undefined
        if (victim === undefined) throw error
        await this.#unload(victim)
      }
    }
  }

  /** @throws IncipitError `context_memory` for what would not fit beside those that stay */
  #requireRoom({ spec, bytes }: PooledModel): void {
    const pinned = this.#models.filter((other) => other.engine && other.spec.pinned)
    const free = this.#options.memory - bytesOf(pinned)
    if (pinned.length === 0 || bytes <= free) return
    const rest = `beside those that stay loaded ${gigabytes(free)} are left`
    const message = `the model ${spec.name} needs ${gigabytes(bytes)}, and ${rest}`
    throw new IncipitError('context_memory', message)
  }

  #hasRoom(bytes: number): boolean {
    return bytesOf(this.#models.filter(({ engine }) => engine)) + bytes <= this.#options.memory
  }

  /** The next one to unload. */
  #victim(): PooledModel | undefined {
    return this.#victims()[0]
  }

  #victims(): PooledModel[] {
    const candidates = this.#models.filter(({ engine, spec }) => engine && !spec.pinned)
    return candidates.sort((a, b) => Number(a.used) - Number(b.used) || a.lastUsed - b.lastUsed)
  }

  #unloadIdle(model: PooledModel): void {
    if (model.engine && !model.used) void this.#unload(model)
  }

  /** Unloads a model when its requests have ended; new ones wait for that. */
  #unload(model: PooledModel): Promise<void> {
    model.leaving ??= (async () => {
      await model.unused()
      await this.#end(model)
      model.leaving = undefined
      this.#options.log('info', `the model ${model.spec.name} is unloaded`)
    })()
    return model.leaving
  }

  async #end(model: PooledModel): Promise<void> {
    const { engine } = model
    model.engine = undefined
    if (!engine) return
    this.#threads.remove(engine)
    try {
      await engine.close()
    } catch (error) {
      this.#options.log('error', `the model ${model.spec.name} did not end as it should: ${error}`)
    }
  }
}

function bytesOf(models: readonly PooledModel[]): number {
  return models.reduce((sum, { bytes }) => sum + bytes, 0)
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
