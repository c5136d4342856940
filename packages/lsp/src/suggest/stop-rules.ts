import { onlyCloses } from '../documents/line-text.ts'
import { BracketReader } from './brackets.ts'
import { columns, extentAt, indentOf, linePrefix, opensBlock, type Situation } from './situation.ts'

/** What of a model's text is shown. */
export interface Cut {
  readonly text: string
  /** Whether more of the model's text would change nothing. */
  readonly complete: boolean
}

const maxLines = 12
// Enough of what stands before to know the brackets that are open.
const bracketContext = 2000

/**
 * Cuts what a model says at the place where a completion ends: at the end of the line, or of the block by its indentation,
 * before a bracket that closes what the completion did not open, before what stands behind the cursor anyway, and before
 * it begins to repeat itself.
 * @param raw what the model has said so far
 * @param ended whether it says no more
 */
export function cutSuggestion(raw: string, situation: Situation, ended: boolean): Cut {
  if (repeatsLineAbove(raw, situation)) return { text: '', complete: true }
  const extent = extentAt(situation)
  const cut = extent === 'line' ? cutLine(raw) : cutBlock(raw, situation)
  const balanced = cutUnbalanced(cut.text, situation)
  const complete = ended || cut.complete || balanced.length < cut.text.length
  const text = withoutWhatFollows(balanced, situation, complete)
  // The end of a line that is still being said may yet become the beginning of what follows.
  return { text: complete ? text.trimEnd() : text, complete: complete || text.length < balanced.length }
}

/** On an empty line: the whole line above once more. */
function repeatsLineAbove(raw: string, situation: Situation): boolean {
  const end = raw.indexOf('\n')
  if (end < 0 || linePrefix(situation).trim() !== '') return false
  const above = situation.before.trimEnd()
  const line = above.slice(above.lastIndexOf('\n') + 1).trim()
  return /[\p{L}\p{N}]{2}/u.test(line) && raw.slice(0, end).trim() === line
}

function cutLine(raw: string): Cut {
  const end = raw.indexOf('\n')
  return end < 0 ? { text: raw, complete: false } : { text: raw.slice(0, end), complete: true }
}

function cutBlock(raw: string, situation: Situation): Cut {
  const line = linePrefix(situation)
  const opens = opensBlock(situation)
  const base = columns(indentOf(line))
  // A cursor on an empty line is as deep as the first thing that is said there.
  const lines = raw.split('\n')
  const kept: string[] = []
  let blank = false
  for (const [index, said] of lines.entries()) {
    const last = index === lines.length - 1
    if (index === 0) {
      kept.push(said)
      // The line that opens a block was finished on its own: what follows the opening is its body.
      continue
    }
    if (said.trim() === '') {
      if (last) return { text: [...kept, said].join('\n'), complete: false }
      // Two empty lines, or one behind something on an empty line: a new paragraph begins.
      if (blank || (!opens && kept.some((line) => line.trim() !== ''))) return { text: kept.join('\n'), complete: true }
      blank = true
      kept.push(said)
      continue
    }
    blank = false
    const depth = columns(indentOf(said))
    const closes = /^\s*[)\]}]/.test(said)
    if (depth < base || (opens && depth === base && !closes)) return { text: kept.join('\n'), complete: true }
    if (!last && isAgain(said, kept)) return { text: kept.slice(0, -1).join('\n').trimEnd(), complete: true }
    kept.push(said)
    // The block that the line opened is closed again.
    if (opens && closes && depth === base && !last) return { text: kept.join('\n'), complete: true }
    if (kept.length >= maxLines && !last) return { text: kept.join('\n'), complete: true }
  }
  return { text: kept.join('\n'), complete: false }
}

/** Whether this line and the one before it were said one after the other already: a model that goes in circles. */
function isAgain(said: string, kept: readonly string[]): boolean {
  const before = kept.at(-1)
  return kept.slice(1).some((line, i) => line === said && kept[i] === before)
}

/** Up to a bracket that closes nothing that is open in the completion or just before it. */
function cutUnbalanced(text: string, { before, comment }: Situation): string {
  const reader = new BracketReader(comment).readAll(before.slice(-bracketContext))
  if (reader.inText) return text
  let at = 0
  for (const character of text) {
    if (!reader.read(character)) return text.slice(0, at)
    at += character.length
  }
  return text
}

/** Without an end that repeats what follows the cursor. */
function withoutWhatFollows(text: string, situation: Situation, complete: boolean): string {
  const { restOfLine, below } = situation
  const rest = restOfLine.trim()
  const lines = text.split('\n')
  const next = below.split('\n').filter((line) => line.trim() !== '')
  const first = next[0]
  if (first !== undefined) {
    // Whole lines that stand below already; of closing brackets alone only the line at the same depth.
    const again = lines.findIndex((line, index) => {
      if (index === 0 && linePrefix(situation).trim() !== '') return false
      const whole = index < lines.length - 1 || complete
      const own = index === 0 ? linePrefix(situation) + line : line
      return whole && own.trimEnd() === first.trimEnd()
    })
    if (again >= 0) return lines.slice(0, again).join('\n').trimEnd()
  }
  if (rest !== '' && lines.length === 1 && !onlyCloses(rest)) {
    const overlap = overlapOf(text.trimEnd(), rest)
    if (overlap > 0) return text.trimEnd().slice(0, -overlap)
  }
  return text
}

/** Length of the longest end of `text` that `following` begins with. A single character is chance, unless it is all. */
function overlapOf(text: string, following: string): number {
  for (let length = Math.min(text.length, following.length); length > 0; length--) {
    if (text.endsWith(following.slice(0, length))) return length > 1 || following.length === 1 ? length : 0
  }
  return 0
}
