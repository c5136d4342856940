import { tokensOf } from './tokens.ts'
import type { WordChange } from './word-change.ts'

/** Lines of a document that a change may concern, both included. */
export interface Region {
  readonly first: number
  readonly last: number
  /** The first one that it does concern. */
  readonly place: number
}

const linesAbove = 2
const linesBelow = 4

/** Whether the change may concern a line. */
export function concerns(change: WordChange, line: string): boolean {
  return placeIn(change, line) !== undefined
}

/** Where a line may change (UTF-16 units): before a name that was replaced, behind the parenthesis of a call. */
export function placeIn({ renamed, called }: WordChange, line: string): number | undefined {
  const tokens = tokensOf(line)
  let at = 0
  for (const [i, token] of tokens.entries()) {
    if (renamed.has(token)) return at
    at += token.length
    if (called.has(token) && tokens[i + 1] === '(') return at + 1
  }
  return undefined
}

/**
 * Where a change may have to be made again: lines with what it is about and some around them, the nearest to the cursor
 * first.
 * @param own the lines that were changed, as they are now
 */
export function editRegions(
  lines: readonly string[],
  change: WordChange,
  own: ReadonlySet<string>,
  cursor: number,
): Region[] {
  const wanted = [...change.renamed.keys(), ...change.called]
  const places = lines
    .keys()
    .filter((i) => wanted.some((name) => lines[i]!.includes(name)))
    .filter((i) => !own.has(lines[i]!) && concerns(change, lines[i]!))
    .toArray()
    .sort((a, b) => Math.abs(a - cursor) - Math.abs(b - cursor) || b - a)
  const regions: Region[] = []
  for (const place of places) {
    if (regions.some(({ first, last }) => place >= first && place <= last)) continue
    const inside = places.filter((other) => other >= place - linesAbove && other <= place + linesBelow)
    let first = Math.max(0, place - linesAbove)
    while (lines[first]!.trim() === '') first++
    regions.push({ first, last: Math.max(...inside), place: Math.min(...inside) })
  }
  return regions
}
