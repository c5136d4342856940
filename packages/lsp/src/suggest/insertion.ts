import { onlyCloses } from '../documents/line-text.ts'
import { columns, indentOf, type Situation } from './situation.ts'

/** How a document is written. */
export interface Style {
  readonly eol: '\n' | '\r\n'
  readonly tabs: boolean
}

/** What replaces the rest of the line, and how much of it. */
export interface Insertion {
  readonly text: string
  /** UTF-16 units behind the cursor that it replaces. */
  readonly replaces: number
}

/**
 * How a completion goes into the document: closing brackets and quotes that the editor put behind the cursor are not said
 * twice, line ends and indentation are those of the file.
 */
export function insertionOf(text: string, { restOfLine }: Pick<Situation, 'restOfLine'>, style: Style): Insertion {
  const rest = restOfLine.trimEnd()
  const [first = '', ...others] = text.split('\n')
  if (rest === '' || !onlyCloses(rest)) return { text: styled(text, style), replaces: 0 }
  if (others.length === 0 && first.endsWith(rest)) {
    return { text: styled(first.slice(0, -rest.length), style), replaces: 0 }
  }
  return { text: styled(text, style), replaces: isSpelledIn(rest, text) ? rest.length : 0 }
}

/** Whether all of these characters come in the text, in this order. */
function isSpelledIn(characters: string, text: string): boolean {
  let at = 0
  for (const character of characters) {
    at = text.indexOf(character, at) + 1
    if (at === 0) return false
  }
  return true
}

function styled(text: string, { eol, tabs }: Style): string {
  const [first = '', ...others] = text.split('\n')
  const lines = tabs ? others.map(withTabs) : others
  return [first, ...lines].join(eol)
}

function withTabs(line: string): string {
  const indent = indentOf(line)
  return '\t'.repeat(Math.ceil(columns(indent) / 4)) + line.slice(indent.length)
}

/** From what stands in the document already. */
export function styleOf(text: string): Style {
  const start = text.slice(0, 20_000)
  const tabs = (start.match(/^\t/gm) ?? []).length
  const spaces = (start.match(/^ {2}/gm) ?? []).length
  return { eol: start.includes('\r\n') ? '\r\n' : '\n', tabs: tabs > spaces }
}
