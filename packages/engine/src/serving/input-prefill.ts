import type { Sequence } from '../core/sequences/sequence.ts'

/**
 * A text that is computed ahead: an open message while it is typed. It holds KV rows as long as nobody needs their place;
 * what was evicted is computed again.
 */
export interface InputPrefill {
  /** Only requests of the same namespace share its rows. */
  readonly cacheNamespace: string
  /** What shall be computed. Asked once before a step, however often the text changed since the last one. */
  readonly wanted: () => readonly number[]
  /** What was wanted when it was last asked. */
  tokens: readonly number[]
  /** The sequence has to follow before the next step. */
  changed: boolean
  /** Undefined until there is a place for it, and after an eviction. */
  sequence: Sequence | undefined
  /** Called after a step that ran rows of it. It does not throw. */
  readonly onProgress?: () => void
}

export function inputPrefill(
  cacheNamespace: string,
  options: Pick<InputPrefill, 'wanted' | 'onProgress'>,
): InputPrefill {
  return { cacheNamespace, tokens: [], changed: false, sequence: undefined, ...options }
}

/** Rows that have left the last stage. */
export function computedRows(input: InputPrefill): number {
  return input.sequence?.computed.at(-1) ?? 0
}
