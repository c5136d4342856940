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
  return all.length > most ? thinned(all) : all
}

/** One less than so many: see `withCheckpoint`. */
export function thinned(all: readonly Checkpoint[]): readonly Checkpoint[] {
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

/** Bytes of checkpoints, each counted once. */
export function bytesOf(checkpoints: Iterable<Checkpoint>): number {
  let sum = 0
  for (const { states } of new Set(checkpoints)) for (const state of states) sum += state?.bytes ?? 0
  return sum
}

/**
 * Where a prompt stops for a checkpoint: behind what stands before the first message of the user, which other conversations
 * begin with; before the last one, which may be edited; before what follows that, for whoever asks the same again; and
 * before messages between them, as often as the limits say.
 * @param tokens of the prompt
 * @param from rows that are computed already
 */
export function checkpointStops(
  tokens: readonly number[],
  from: number,
  { messageStart, lastRows, promptSpacing, inputSpacing, worthSplitting }: CheckpointLimits,
): readonly number[] {
  if (tokens.length - from < worthSplitting) return []
  const starts = placesOf(messageStart, tokens, from)
  const last = starts.pop()
  const end = tokens.length - lastRows
  const stops: number[] = []
  const behind = () => stops.at(-1) ?? from
  for (const [i, start] of starts.entries()) {
    if (start - behind() >= (i === 0 ? worthSplitting : promptSpacing)) stops.push(start)
  }
  if (last === undefined) return [...stops, end]
  // The message is short: whoever asks again reads it again.
  if (end - last < inputSpacing) return [...stops, last]
  if (last - behind() >= worthSplitting) stops.push(last)
  return [...stops, end]
}

/** Where `wanted` stands in a list of tokens, behind the first `from`. */
function placesOf(wanted: readonly number[], tokens: readonly number[], from: number): number[] {
  const places: number[] = []
  if (wanted.length === 0) return places
  for (let at = tokens.indexOf(wanted[0]!, from + 1); at >= 0; at = tokens.indexOf(wanted[0]!, at + 1)) {
    if (wanted.every((token, i) => tokens[at + i] === token)) places.push(at)
  }
  return places
}

/**
 * How fast a state is copied, bytes per millisecond: into memory that is new to the process, and over a copy that nobody
 * wants any more. (20 MB in 10 to 20 ms, and in 2.3 ms, on Zen 4: new memory comes page by page.)
 */
export const copySpeed = { fresh: 1.5e6, over: 8e6 }

/** When checkpoints are taken, and how many. */
export interface CheckpointLimits {
  /** Most bytes of the checkpoints of all sequences together. */
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
  /** Tokens with which a message of the user begins; none where the template has no such tokens. */
  readonly messageStart: readonly number[]
  /** Rows behind the one before from which on a checkpoint of so many bytes is worth its copy. */
  readonly worthCopying: (bytes: number) => number
}

export const defaultCheckpoints: CheckpointLimits = {
  bytes: Number.POSITIVE_INFINITY,
  most: 8,
  promptSpacing: 512,
  inputSpacing: 32,
  worthSplitting: 128,
  lastRows: 1,
  messageStart: [],
  worthCopying: () => 0,
}
