import type { Sequence } from '../core/sequences/sequence.ts'

/**
 * A text that is computed ahead: an open message while it is typed. It holds KV rows as long as nobody needs their place;
 * what was evicted is computed again.
 */
export interface OpenText {
  /** Only requests of the same namespace share its rows. */
  readonly salt: string
  /** What shall be computed. Asked once before a step, however often the text changed since the last one. */
  readonly wanted: () => readonly number[]
  /** What was wanted when it was last asked. */
  tokens: readonly number[]
  /** The sequence has to follow before the next step. */
  changed: boolean
  /** Undefined until there is a place for it, and after an eviction. */
  sequence: Sequence | undefined
  /** Called after a step that ran rows of it. */
  readonly onProgress?: () => void
}

export function openText(salt: string, options: Pick<OpenText, 'wanted' | 'onProgress'>): OpenText {
  return { salt, tokens: [], changed: false, sequence: undefined, ...options }
}

/** Rows that have left the last stage. */
export function computedRows(text: OpenText): number {
  return text.sequence?.computed.at(-1) ?? 0
}
