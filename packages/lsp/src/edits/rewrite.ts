import type { Said } from '../suggest/gate.ts'
import { concerns } from './edit-places.ts'
import { type Difference, differences, namesOf, tokensOf } from './tokens.ts'
import type { WordChange } from './word-change.ts'

/** Offsets in a text (UTF-16 units), and what stands there instead. */
export interface Replacement {
  readonly from: number
  readonly to: number
  readonly text: string
}

/** What a model made of some lines. */
export interface Rewrite {
  readonly text: string
  /** How likely the model held it: pieces that are `text` together. */
  readonly said: readonly Said[]
}

// A line that a change concerns may become two.
const maxMoreLines = 1

/**
 * What of a rewrite is offered: the changes of lines that the writer's change concerns and that look like it, each if the
 * model held it likely enough. All else of what the model did to the lines is left out.
 * @param least probability below which a change is left out
 */
export function replacementsOf(before: string, rewrite: Rewrite, change: WordChange, least: number): Replacement[] {
  const [lines, newLines] = [before.split('\n'), rewrite.text.split('\n')]
  return differences(lines, newLines)
    .flatMap(lineByLine)
    .flatMap(({ from, to, newFrom, newTo }) => {
      const old = lines.slice(from, to)
      const now = newLines.slice(newFrom, newTo)
      if (!looksLike(change, old, now)) return []
      const found = inline(old.join('\n'), now.join('\n'))
      const at = offsetOfLine(lines, from)
      const newAt = offsetOfLine(newLines, newFrom)
      const probability = found.reduce(
        (product, { newFrom, newTo }) => product * probabilityOf(rewrite.said, newAt + newFrom, newAt + newTo),
        1,
      )
      if (probability < least) return []
      return found.map(({ from, to, text }) => ({ from: at + from, to: at + to, text }))
    })
}

/** As many lines as before: each stands for the one in its place. */
function lineByLine(difference: Difference): Difference[] {
  const { from, to, newFrom, newTo } = difference
  if (to - from !== newTo - newFrom) return [difference]
  return Array.from({ length: to - from }, (_, i) => ({
    from: from + i,
    to: from + i + 1,
    newFrom: newFrom + i,
    newTo: newFrom + i + 1,
  }))
}

/** Whether these lines were changed as the writer changed others. */
function looksLike(change: WordChange, old: readonly string[], now: readonly string[]): boolean {
  if (old.length === 0 || now.length < old.length || now.length > old.length + maxMoreLines) return false
  if (!old.every((line) => concerns(change, line))) return false
  const [had, has] = [namesOf(old.join('\n')), namesOf(now.join('\n'))]
  for (const [name, other] of change.renamed) if (had.has(name) && (has.has(name) || !has.has(other))) return false
  return true
}

/** The tokens that change. */
function inline(old: string, now: string): (Replacement & { newFrom: number; newTo: number })[] {
  const [tokens, newTokens] = [tokensOf(old), tokensOf(now)]
  const [at, newAt] = [offsetsOf(tokens), offsetsOf(newTokens)]
  return differences(tokens, newTokens).map(({ from, to, newFrom, newTo }) => ({
    from: at[from]!,
    to: at[to]!,
    text: newTokens.slice(newFrom, newTo).join(''),
    newFrom: newAt[newFrom]!,
    newTo: newAt[newTo]!,
  }))
}

/** Where each piece begins, and the end of the last one. */
function offsetsOf(pieces: readonly string[]): number[] {
  const offsets = [0]
  for (const piece of pieces) offsets.push(offsets.at(-1)! + piece.length)
  return offsets
}

function offsetOfLine(lines: readonly string[], line: number): number {
  return lines.slice(0, line).reduce((sum, { length }) => sum + length + 1, 0)
}

/** Of the pieces that reach into a stretch; where nothing was said, of the one behind: that it was left out. */
function probabilityOf(said: readonly Said[], from: number, to: number): number {
  let [at, probability] = [0, 1]
  for (const piece of said) {
    const end = at + piece.text.length
    if (end > from && at < Math.max(to, from + 1)) probability *= piece.probability ?? 1
    at = end
  }
  return probability
}
