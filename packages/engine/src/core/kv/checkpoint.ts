import type { SavedState } from './caches.ts'

/** What a memory cannot give up row by row, as it was behind a number of rows: the sequence can go on from there again. */
export interface Checkpoint {
  /** Rows before it. */
  readonly length: number
  /** One state per stage. */
  readonly states: readonly SavedState[]
}

/** The last checkpoint that has at most `most` rows before it. */
export function checkpointBefore(checkpoints: readonly Checkpoint[], most: number): Checkpoint | undefined {
  return checkpoints.findLast(({ length }) => length <= most)
}

/**
 * Takes a checkpoint in, in the order of their lengths. Of more than `most`, one goes without which the gap is the smallest
 * for its depth: the older ones thin out, as what is far back is gone back to least often.
 */
export function withCheckpoint(
  checkpoints: readonly Checkpoint[],
  added: Checkpoint,
  most: number,
): readonly Checkpoint[] {
  const all = [...checkpoints.filter(({ length }) => length !== added.length), added]
  all.sort((a, b) => a.length - b.length)
  if (all.length <= most) return all
  const end = all.at(-1)!.length
  let least = 0
  let smallest = Number.POSITIVE_INFINITY
  // The last two stay.
  for (let i = 0; i < all.length - 2; i++) {
    const gap = (all[i + 1]!.length - (all[i - 1]?.length ?? 0)) / (end - all[i]!.length)
    if (gap >= smallest) continue
    smallest = gap
    least = i
  }
  return all.filter((_, i) => i !== least)
}

export function bytesOf(checkpoints: readonly Checkpoint[]): number {
  return checkpoints.reduce((sum, { states }) => sum + states.reduce((bytes, state) => bytes + state.bytes, 0), 0)
}

/** When checkpoints are taken, and how many. */
export interface CheckpointLimits {
  /** Most bytes of the checkpoints of all sequences. */
  readonly bytes: number
  /** Most of one sequence. */
  readonly most: number
  /** A long prompt leaves one behind so many rows, ... */
  readonly promptSpacing: number
  /** ... a text that is typed behind fewer: it is edited. */
  readonly inputSpacing: number
  /**
   * From so many rows on a prompt's last rows run in a step of their own, so that whoever asks the same again, or replies
   * otherwise, finds all others: a step costs as much as some dozen rows of a prompt.
   */
  readonly worthSplitting: number
  /** How many rows these are: at least one, which has to run anyway; what a chat template puts behind the last message. */
  readonly lastRows: number
}

export const defaultCheckpoints: CheckpointLimits = {
  bytes: Number.POSITIVE_INFINITY,
  most: 8,
  promptSpacing: 512,
  inputSpacing: 32,
  worthSplitting: 128,
  lastRows: 1,
}

/** A sequence always has these two: where it began, and behind its prompt. */
export const leastCheckpoints = 2
