import type { IncipitError } from '@incipit/engine/api'
import { SlotGuest } from './slot-guest.ts'

/** What a pool starts and ends: an engine or an embedder. */
export interface PoolWorker {
  readonly info: { readonly memory: { readonly bytes: number } }
  readonly failure?: IncipitError | undefined
  close(): Promise<void>
  /** Most compute threads from now on. */
  limitThreads(most: number): void
}

/** How a worker is started, and when it may go. */
export interface SlotSpec<W extends PoolWorker> {
  /** For messages. */
  readonly name: string
  /** Bytes of its files. What it takes beside is known when it has been loaded once. */
  readonly weights: number
  readonly pinned: boolean
  /** Milliseconds without a request after which it is unloaded; Infinity for never. */
  readonly idleMs: number
  /** @param onComputing to be told when it begins to compute, and when it has not for a moment */
  start(onComputing: OnComputing): Promise<W>
}

export type OnComputing = (computing: boolean) => void

/** A place for a worker, and what has become of it. The pool decides when it comes and goes. */
export class PoolSlot<W extends PoolWorker = PoolWorker> {
  readonly spec: SlotSpec<W>
  /** Resolves when it has been tried to load it. */
  loading: Promise<void> | undefined
  /** Resolves when it is unloaded: nobody else may begin to use it before. */
  leaving: Promise<void> | undefined
  /** Milliseconds. */
  lastUsed = 0
  #worker: W | undefined
  #cacheBytes = 0
  #users = 0
  #unused: PromiseWithResolvers<void> | undefined
  #timer: NodeJS.Timeout | undefined
  readonly #followers = new Set<() => void>()
  readonly #guests = new Set<SlotGuest>()
  readonly #onIdle: (slot: PoolSlot) => void

  /** @param onIdle nobody has used it for `idleMs` */
  constructor(spec: SlotSpec<W>, onIdle: (slot: PoolSlot) => void) {
    this.spec = spec
    this.#onIdle = onIdle
  }

  get worker(): W | undefined {
    return this.#worker
  }

  set worker(worker: W | undefined) {
    this.#worker = worker
    for (const changed of this.#followers) changed()
    if (!worker) return
    this.#cacheBytes = worker.info.memory.bytes
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

  /**
   * Somebody stays, and uses it now and then.
   * @param leave it is to be unloaded, and the guest does not use it
   */
  invite(leave: () => void): SlotGuest {
    const guest = new SlotGuest(this, leave, () => this.#guests.delete(guest))
    this.#guests.add(guest)
    // Who comes when it is about to go hears of it as the others have.
    if (this.leaving) queueMicrotask(() => guest.dismiss())
    return guest
  }

  /** It is to be unloaded: guests leave, those who use it when they have done. */
  dismissGuests(): void {
    for (const guest of [...this.#guests]) guest.dismiss()
  }

  /** Tells which worker there is, now and whenever it is another one. The returned function ends that. */
  follow(told: (worker: W | undefined) => void): () => void {
    const changed = () => told(this.#worker)
    changed()
    this.#followers.add(changed)
    return () => {
      this.#followers.delete(changed)
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
