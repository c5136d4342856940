import type { PlanDefaults } from '../../request-plan.ts'
import type { ServedEngine } from '../../served-engine.ts'

/** An engine that a pool has started, and ends. */
export interface PooledEngine extends ServedEngine {
  close(): Promise<void>
  /** Most compute threads from now on. */
  limitThreads(most: number): void
}

/** One model of a pool: what it is called, what it needs, and how it is started. */
export interface PoolModel {
  /** What the API calls it. */
  readonly name: string
  /** Other names that it answers to. */
  readonly aliases?: readonly string[]
  /** Bytes of its files. What its caches take beside is known when it has been loaded once. */
  readonly weights: number
  /** It stays loaded. Default false. */
  readonly pinned?: boolean
  /** Milliseconds without a request after which it is unloaded; Infinity for never. */
  readonly idleMs: number
  /** What is assumed of requests to it that say nothing. */
  readonly defaults?: PlanDefaults
  /**
   * Loads it.
   * @param onComputing to be told when it begins to compute, and when it has not for a moment
   */
  start(onComputing: (computing: boolean) => void): Promise<PooledEngine>
}

/** A model of a pool with what has become of it. The pool decides when it comes and goes. */
export class PooledModel {
  readonly spec: PoolModel
  /** Resolves when it has been tried to load it. */
  loading: Promise<void> | undefined
  /** Resolves when it is unloaded: nobody else may begin to use it before. */
  leaving: Promise<void> | undefined
  /** Milliseconds. */
  lastUsed = 0
  #engine: PooledEngine | undefined
  #cacheBytes = 0
  #users = 0
  #unused: PromiseWithResolvers<void> | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #onIdle: (model: PooledModel) => void

  /** @param onIdle nobody has used it for `idleMs` */
  constructor(spec: PoolModel, onIdle: (model: PooledModel) => void) {
    this.spec = spec
    this.#onIdle = onIdle
  }

  get engine(): PooledEngine | undefined {
    return this.#engine
  }

  set engine(engine: PooledEngine | undefined) {
    this.#engine = engine
    if (!engine) return
    this.#cacheBytes = engine.info.memory.bytes
    this.#restUntilIdle()
  }

  /** Memory that it takes when it is loaded, as far as that is known. */
  get bytes(): number {
    return this.spec.weights + this.#cacheBytes
  }

  get used(): boolean {
    return this.#users > 0
  }

  /** One more uses it, or waits to. The returned function, called once, takes that back. */
  claim(): () => void {
    this.#users++
    clearTimeout(this.#timer)
    let claimed = true
    return () => {
      if (!claimed) return
      claimed = false
      this.#users--
      this.lastUsed = performance.now()
      if (this.#users > 0) return
      this.#unused?.resolve()
      this.#restUntilIdle()
    }
  }

  /** From now on `idleMs` without a user count. */
  #restUntilIdle(): void {
    clearTimeout(this.#timer)
    const { pinned, idleMs } = this.spec
    if (pinned || this.used || !Number.isFinite(idleMs)) return
    this.#timer = setTimeout(() => this.#onIdle(this), idleMs)
    this.#timer.unref()
  }

  /** Resolves when nobody uses it. */
  async unused(): Promise<void> {
    if (!this.used) return
    this.#unused = Promise.withResolvers()
    await this.#unused.promise
  }
}
