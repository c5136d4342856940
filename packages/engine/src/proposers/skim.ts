/*
 * Skim: streaming in width. After a small true prefix of the prompt a lookahead jumps to the prompt's last tokens
 * (with the template's suffix), at consecutive positions, and sees at full depth what the reply would begin with. The prefix
 * rows are the prompt's own; the few tail rows are the price. The full prompt verifies the guess.
 *
 * One that is not sure enough to be shown is followed by another one, later in the prompt: what both see is more likely
 * to be right.
 */

/** Below this the prompt itself is soon done and a lookahead gains little. */
export const minPrompt = 200
/**
 * Shares of the prompt that are read before each lookahead. A long prompt affords one more. A first one at 6%, and leaving
 * out those that are seldom sure enough, showed less (docs/benchmarks.md).
 */
const prefixShares = { few: [0.1, 0.35], many: [0.1, 0.2, 0.35] }
const manyFrom = 400
/** Tokens of content before the template's suffix that a lookahead reads. */
const tailTokens = 24
/** Tokens that a lookahead decodes: the prompt's last rows verify them almost for nothing. */
export const burst = 4

export interface LookaheadPlan {
  /** It shares the prompt's rows [0, forkAt). */
  readonly forkAt: number
  /** It goes on with prompt tokens [tailFrom, end). */
  readonly tailFrom: number
}

/**
 * Where to look, in order; nowhere when the prompt is too short.
 * @param prompt number of prompt tokens
 * @param suffix number of tokens the chat template puts after the last message
 * @param tile rows that attention computes together: where a prompt is cut elsewhere, what is left of the tile is computed
 * in vain (350 tokens and a lookahead: 1.15 times the prompt's time when cut at 35, 1.09 at 64)
 */
export function planLookaheads(prompt: number, suffix: number, tile = 1): LookaheadPlan[] {
  if (prompt < minPrompt) return []
  const tailFrom = prompt - suffix - tailTokens
  const plans = (prompt < manyFrom ? prefixShares.few : prefixShares.many).map((share) => {
    const rows = Math.max(16, Math.round(prompt * share))
    // Rather a little later than a little earlier: a look that has read more is right more often.
    const inFirstTile = prompt < manyFrom && 2 * rows < tile
    const forkAt = inFirstTile ? rows : tile * Math.max(1, Math.floor(rows / tile + 0.75))
    return { forkAt, tailFrom }
  })
  return plans.filter(({ forkAt }, i) => forkAt < tailFrom && forkAt !== plans[i + 1]?.forkAt)
}

/**
 * Lookaheads that a prompt takes from where it stands, from the first that pays on: a prompt that stops for one which then
 * is not taken would be cut for nothing.
 * @param looks those ahead of it
 */
export function lookaheadsThatPay(
  looks: readonly LookaheadPlan[],
  pays: (look: LookaheadPlan) => boolean,
): readonly LookaheadPlan[] {
  const first = looks.findIndex(pays)
  return first < 0 ? [] : looks.slice(first)
}
