import {
  canKeepRows,
  fullAttention,
  recurrentState,
  type SequenceMemory,
  slidingWindow,
} from '../../core/kv/sequence-memory.ts'
import type { Model } from '../../llama/model.ts'
import { machineMemory } from '../machine-memory.ts'

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
// For the states of recurrent layers, with their snapshots.
const stateShare = 16

/** How the KV cache is laid out. */
export interface CacheLayout {
  readonly slots: number
  /** KV cells of each stage. */
  readonly cells: number
  readonly memory: SequenceMemory
  /** Most bytes of rows of requests that are over. */
  readonly savedBytes: number
  /** Of the recurrent states of all slots, with their snapshots. */
  readonly stateBytes: number
}

export interface LayoutOptions {
  readonly contextLength: number
  readonly parallel: number
  /** By the caller's wish. */
  readonly cells: number | undefined
  readonly cache: 'unified' | 'separate' | undefined
  /** Most snapshots, by the caller's wish. */
  readonly snapshots: number | undefined
  /** Of the recurrent states of a sequence. */
  readonly stateBytes: number
  /** States of rows are wanted, between stages or for drafts: only one cache for all gives them. */
  readonly states: boolean
}

/**
 * Slots and KV cells. Where many requests may run at once, each slot has a cache of its own, as long as that takes no more
 * than an eighth of the memory: attention then never walks over the cells of others. Otherwise all share one cache of two
 * full contexts, or what all requests could use, but at most an eighth of the memory; one full context at least.
 *
 * It depends on the memory that the machine has and not on what is free at the moment: rows that were saved to disk fit
 * into a cache of the same layout only.
 */
export function cacheLayout(model: Model, options: LayoutOptions): CacheLayout {
  const { contextLength, parallel, cells: wanted } = options
  const bytes = machineMemory()
  const affordable = Math.floor(bytes / cacheShare / Math.max(1, model.cellBytes))
  const savedOf = (memory: SequenceMemory) => (canKeepRows(memory) ? Math.floor(bytes / savedShare) : 0)
  const slots = parallel + spareSlots
  // llama.cpp rounds the cells of a cache up to this.
  const each = Math.ceil((contextLength + slackCells) / 256) * 256
  const copies = model.window === 0 && !model.recurrent && !options.states
  const pays = wanted === undefined && parallel >= manyRequests && slots * each <= affordable
  if (copies && (options.cache === undefined ? pays : options.cache === 'separate')) {
    const memory = fullAttention(false)
    return { slots, cells: slots * each, memory, savedBytes: savedOf(memory), stateBytes: 0 }
  }
  const some = Math.min(contextLength * Math.min(parallel, 2), Math.floor(affordable / 256) * 256)
  const cells = (wanted ?? Math.max(contextLength, some)) + parallel * slackCells
  const memory = memoryOf(model, options.states, snapshotsOf(options, slots * options.stateBytes, bytes / stateShare))
  // Sequences share cells here, which costs nothing: every request may look ahead, and many texts be written. A recurrent
  // state takes its memory for every slot, used or not.
  const wide = model.recurrent ? slots : 2 * parallel + 4 * spareSlots
  const stateBytes = model.recurrent ? wide * (1 + memory.snapshots) * options.stateBytes : 0
  return { slots: wide, cells, memory, savedBytes: savedOf(memory), stateBytes }
}

/**
 * As many snapshots as fit, and are wanted.
 * @param bytes of the states of all slots
 * @param most bytes for them and their snapshots
 */
function snapshotsOf({ snapshots = mostSnapshots }: LayoutOptions, bytes: number, most: number): number {
  return Math.min(snapshots, mostSnapshots, bytes === 0 ? 0 : Math.max(0, Math.floor(most / bytes) - 1))
}

/** What the memory of a model's sequences can do, in one cache for all. */
function memoryOf({ recurrent, window }: Model, states: boolean, snapshots: number): SequenceMemory {
  if (recurrent) return recurrentState(window, true, snapshots)
  // States between stages belong to rows: a copy does not have them.
  if (window > 0) return states ? { ...slidingWindow(window, true), copies: false } : slidingWindow(window, true)
  return fullAttention(true)
}
