import type { Sequence } from './flow/sequence.ts'

/**
 * A text that is computed ahead: an open message while it is typed, a prompt that was warmed, a conversation between two
 * turns. It holds KV rows as long as nobody needs their place; what was evicted is computed again.
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
  /** Order of last use: the least recently used one is evicted first. */
  used: number
  /** Nobody holds it: once evicted it is gone. */
  readonly transient: boolean
  /** Called after a step that ran rows of it. */
  readonly onProgress?: () => void
}

export function openText(
  salt: string,
  options: Partial<Pick<OpenText, 'wanted' | 'transient' | 'onProgress'>> = {},
): OpenText {
  return {
    salt,
    wanted: () => [],
    tokens: [],
    changed: false,
    sequence: undefined,
    used: 0,
    transient: false,
    ...options,
  }
}

/** Rows that have left the last stage. */
export function computedRows(text: OpenText): number {
  return text.sequence?.computed.at(-1) ?? 0
}
