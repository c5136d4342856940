import type { PlanDefaults } from '../../request-plan.ts'
import type { ServedEmbedder } from '../../served-embedder.ts'
import type { ServedEngine } from '../../served-engine.ts'
import type { OnComputing, PoolWorker } from './pool-slot.ts'

/** An engine that a pool has started, and ends. */
export type PooledEngine = ServedEngine & PoolWorker

/** An embedder that a pool has started, and ends. */
export type PooledEmbedder = ServedEmbedder & PoolWorker

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
   * Loads it to say something. Left out for a model that was made for embeddings.
   * @param onComputing to be told when it begins to compute, and when it has not for a moment
   */
  start?(onComputing: OnComputing): Promise<PooledEngine>
  /** Loads it to make vectors of texts. Left out where it makes none. */
  startEmbedder?(onComputing: OnComputing): Promise<PooledEmbedder>
}
