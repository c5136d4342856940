import type { Backend } from '../backends/backend.ts'
import type { Settings } from '../settings.ts'

// Code has three characters per token and more, in a small vocabulary less. Where a prompt is too long after all, the session
// takes less.
const charactersPerToken = 2.5

/** A prompt's parts in UTF-16 units. */
export interface PromptSizes {
  readonly before: number
  readonly after: number
  readonly related: number
}

/**
 * How long the parts of a prompt may be.
 * @param shrink below 1 after a prompt that did not fit
 */
export function promptSizes(
  { contextTokens, order }: Pick<Backend, 'contextTokens' | 'order'>,
  settings: Pick<Settings, 'contextTokens' | 'maxTokens' | 'relatedFiles'>,
  shrink: number,
): PromptSizes {
  // A few for the special ones.
  const room = Math.max(32, Math.min(contextTokens, settings.contextTokens) - settings.maxTokens - 16)
  const characters = room * charactersPerToken * shrink
  // Behind `before` it is computed again with every keystroke, so it is short there.
  const after = order === undefined ? 0 : order === 'psm' ? Math.min(0.1 * characters, 400) : 0.2 * characters
  // In a small context the file itself is worth more.
  const related = settings.relatedFiles && room >= 1000 ? 0.25 * characters : 0
  return {
    before: Math.floor(characters - after - related),
    after: Math.floor(after),
    related: Math.floor(related),
  }
}
