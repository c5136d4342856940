import type { SavedState } from './caches.ts'
import type { Checkpoint } from './checkpoint.ts'

/** Rows of a text that is over, outside the KV cache: one state per stage. */
export interface SavedRows {
  readonly cacheNamespace: string
  readonly tokens: readonly number[]
  readonly states: readonly SavedState[]
  /** Where they can be gone on from beside their end, where not anywhere. */
  readonly checkpoints: readonly Checkpoint[]
  readonly bytes: number
  /** Goes only when nothing else is left to go. */
  readonly pinned: boolean
  /** Order of last use. */
  used: number
}

export function isSaved(holder: object): holder is SavedRows {
  return 'states' in holder
}
