/*
 * Skim: streaming in width. After a small true prefix of the prompt a fork jumps to the prompt's last tokens (with the
 * template's suffix), at consecutive positions, and looks at full depth at what the reply would begin with. The prefix
 * rows are the prompt's own; the few tail rows are the price. The full prompt verifies the guess.
 */

/** Below this the prompt itself is soon done and a look gains little. */
export const shortestPrompt = 200
/** Share of the prompt that is read before the look. */
const prefixShare = 0.1
/** Tokens of content before the template's suffix that the look reads. */
const tailTokens = 24
/** Tokens decoded on the fork: the prompt's last rows verify them almost for nothing. */
export const burst = 4

export interface SkimPlan {
  /** The fork starts here: rows [0, forkAt) are shared. */
  readonly forkAt: number
  /** The fork goes on with prompt tokens [tailFrom, end). */
  readonly tailFrom: number
}

/**
 * Where to look, or undefined when the prompt is too short.
 * @param prompt number of prompt tokens
 * @param suffix number of tokens the chat template puts after the last message
 */
export function planSkim(prompt: number, suffix: number): SkimPlan | undefined {
  if (prompt < shortestPrompt) return undefined
  const forkAt = Math.max(16, Math.round(prompt * prefixShare))
  const tailFrom = prompt - suffix - tailTokens
  return tailFrom > forkAt ? { forkAt, tailFrom } : undefined
}
