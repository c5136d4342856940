import {
  canKeepRows,
  fullAttention,
  recurrentState,
  type SequenceMemory,
  slidingWindow,
  windowAlone,
} from '../../core/kv/sequence-memory.ts'
import { maxMicrobatch } from '../../llama/context.ts'
import type { Model } from '../../llama/model.ts'
import { machineMemory } from '../machine-memory.ts'
import type { MemorySizes } from './memory-sizes.ts'

/** Most snapshots of a recurrent state: guesses of a step that can be taken back. */
export const mostSnapshots = 4
/** KV cells a request may use beside its prompt and reply: the drafts of a step and the tail of a lookahead. */
export const slackCells = 64
/** Slots for lookaheads and for texts that are still being written, beside those of requests. */
const spareSlots = 4
// From this many requests at once on, a cache for each of them is worth its memory.
const manyRequests = 4
// Shares of the machine's memory: for the KV cache, and for rows that are kept outside of it.
const cacheShare = 8
const savedShare = 16
// Of GPUs, of what they have beside the weights: for the KV cache. Other contexts are made there, too.
const gpuCacheShare = 2
// Of what the KV cache may take: for the states of recurrent layers, with their snapshots.
const stateShare = 2

/** How the KV cache is laid out. */
export interface CacheLayout {
  readonly slots: number
  /** KV cells of each stage. */
  readonly cells: number
  readonly memory: SequenceMemory
  /** Most bytes of rows of requests that are over. */
  readonly savedBytes: number
  /** Of the KV cache, and of the recurrent states of all slots with their snapshots. */
  readonly bytes: number
}

export interface LayoutOptions {
  readonly contextLength: number
  readonly parallel: number
  /** By the caller's wish. */
  readonly cells: number | undefined
  readonly cache: 'unified' | 'separate' | undefined
  /** Most snapshots, by the caller's wish. */
  readonly snapshots: number | undefined
  /** By the caller's wish; undefined: whichever fits. */
  readonly slidingWindow: 'full' | 'alone' | undefined
  readonly sizes: MemorySizes
  /** States of rows are wanted, between stages or for drafts: only one cache for all gives them. */
  readonly states: boolean
}

/**
 * Slots and KV cells. Where many requests may run at once, each slot has a cache of its own, as long as that takes no more
 * than an eighth of the memory (of GPUs, half of what they have beside the weights): attention then never walks over the
 * cells of others. Otherwise all share one cache of two full contexts, or what all requests could use, but at most that
 * much; one full context at least. Layers with a window keep all rows, too, unless even one full context would take more
 * than that: then one window for each slot.
 *
 * It depends on the memory that the machine has and not on what is free at the moment: rows that were saved to disk fit
 * into a cache of the same layout only.
 */
export function cacheLayout(model: Model, options: LayoutOptions): CacheLayout {
  const { contextLength, parallel, cells: wanted, sizes } = options
  const bytes = machineMemory()
  const savedOf = (memory: SequenceMemory) => (canKeepRows(memory) ? Math.floor(bytes / savedShare) : 0)
  const slots = parallel + spareSlots
  // llama.cpp rounds the cells of a cache up to this.
  const each = Math.ceil((contextLength + slackCells) / 256) * 256
  const copies = model.window === 0 && !model.recurrent && !options.states
  const most = cacheBudget(model, bytes)
  const pays = wanted === undefined && parallel >= manyRequests && slots * each * sizes.cell <= most
  if (copies && (options.cache === undefined ? pays : options.cache === 'separate')) {
    const memory = fullAttention(false)
    return { slots, cells: slots * each, memory, savedBytes: savedOf(memory), bytes: slots * each * sizes.cell }
  }
  const memory = memoryOf(model, options, slots, most)
  // Sequences share cells here, which costs nothing: every request may look ahead, and many texts be written. A recurrent
  // state, or a window, takes its memory for every slot, used or not.
  const wide = memory.dropsRows ? 2 * parallel + 4 * spareSlots : slots
  const alone = memory.recurrent || memory.dropsRows ? 0 : windowCells(model, slots)
  const fixed = alone * sizes.windowCell + (memory.recurrent ? wide * (1 + memory.snapshots) * sizes.state : 0)
  const perCell = sizes.cell - (alone > 0 ? sizes.windowCell : 0)
  const affordable = Math.floor((most - alone * sizes.windowCell) / Math.max(1, perCell) / 256) * 256
  const some = Math.min(contextLength * Math.min(parallel, 2), affordable)
  const cells = (wanted ?? Math.max(contextLength, some)) + parallel * slackCells
  return { slots: wide, cells, memory, savedBytes: savedOf(memory), bytes: cells * perCell + fixed }
}

/**
 * Most bytes of a KV cache: each device has room for the layers that lie there.
 * @param bytes of the machine
 */
function cacheBudget({ offload }: Model, bytes: number): number {
  const inMain = bytes / cacheShare
  if (offload === undefined || offload.cacheShare === 0) return inMain
  const { cacheShare: share, beside } = offload
  if (beside === Number.POSITIVE_INFINITY) return inMain
  return Math.min(beside / gpuCacheShare / share, share < 1 ? inMain / (1 - share) : Number.POSITIVE_INFINITY)
}

/** Cells of the layers with a window, where they keep one for each slot (llama-kv-cache-iswa.cpp). */
function windowCells({ window }: Model, slots: number): number {
  return Math.ceil((window * slots + maxMicrobatch) / 256) * 256
}

/**
 * As many snapshots as fit, and are wanted.
 * @param bytes of the states of all slots
 * @param most bytes for them and their snapshots
 */
function snapshotsOf({ snapshots = mostSnapshots, sizes }: LayoutOptions, bytes: number, most: number): number {
  return sizes.snapshots ? Math.min(snapshots, mostSnapshots, Math.max(0, Math.floor(most / bytes) - 1)) : 0
}

/**
 * What the memory of a model's sequences can do, in one cache for all.
 * @param most bytes of a KV cache
 */
function memoryOf(model: Model, options: LayoutOptions, slots: number, most: number): SequenceMemory {
  const { recurrent, window } = model
  const { sizes, states, contextLength } = options
  if (recurrent) return recurrentState(window, true, snapshotsOf(options, slots * sizes.state, most / stateShare))
  if (window === 0) return fullAttention(true)
  // States between stages belong to rows: a copy does not have them.
  if (states) return { ...slidingWindow(window, true), copies: false }
  const fits = contextLength * sizes.cell <= most || windowCells(model, slots) >= contextLength
  const full = options.slidingWindow === undefined ? fits : options.slidingWindow === 'full'
  return full ? slidingWindow(window, true) : windowAlone(window)
}
