import { onlyCloses } from '../documents/line-text.ts'

/** Where a completion would stand. All texts have `\n` as line end. */
export interface Situation {
  /** Text before the cursor, as much as matters. */
  readonly before: string
  /** Behind the cursor up to the end of the line. */
  readonly restOfLine: string
  /** Lines below the cursor's, as many as matter. */
  readonly below: string
  /** How the language marks a comment. */
  readonly comment: string
}

/** What a completion may reach over. */
export type Extent = 'line' | 'block'

/** The cursor's line up to the cursor. */
export function linePrefix({ before }: Situation): string {
  return before.slice(before.lastIndexOf('\n') + 1)
}

export function indentOf(line: string): string {
  return /^[ \t]*/.exec(line)![0]
}

/** Columns of an indentation; a tab goes to the next multiple of four. */
export function columns(indent: string): number {
  let at = 0
  for (const character of indent) at += character === '\t' ? 4 - (at % 4) : 1
  return at
}

/** Whether something follows in the line that the editor did not put there with a pair of brackets or quotes. */
function hasRest({ restOfLine }: Situation): boolean {
  return !onlyCloses(restOfLine)
}

const opener = /(?:[{([]|=>|:|\b(?:do|then|else|begin))\s*$/

/** Several lines where the line is empty, or has just opened a block; the rest of the line everywhere else. */
export function extentAt(situation: Situation): Extent {
  if (hasRest(situation)) return 'line'
  const line = linePrefix(situation)
  return line.trim() === '' || opensBlock(situation) ? 'block' : 'line'
}

/** Whether the line ends with what begins a block. */
export function opensBlock(situation: Situation): boolean {
  const line = linePrefix(situation)
  return line.trim() !== '' && !hasRest(situation) && opener.test(line)
}

/** No completion inside a word that goes on behind the cursor. */
export function insideWord({ before, restOfLine }: Situation): boolean {
  return /^[\p{L}\p{N}_$]/u.test(restOfLine) && /[\p{L}\p{N}_$]$/u.test(before)
}

/** How far an editor indents the line below this one. */
export function nextIndent(situation: Situation): string {
  const indent = indentOf(linePrefix(situation))
  if (!opensBlock(situation)) return indent
  if (indent.endsWith('\t') || /\n\t/.test(situation.before)) return `${indent}\t`
  const steps = situation.before.match(/(?<=\n) +(?=\S)/g)?.map(({ length }) => length) ?? []
  return indent + ' '.repeat(Math.min(...steps.filter((length) => length >= 2), 4))
}
