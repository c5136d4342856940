import type { TextEdit } from 'vscode-languageserver'
import type { Region } from './edit-places.ts'
import type { Replacement } from './rewrite.ts'

/**
 * Replacements in lines without their common indentation, as edits of the document that these lines are from.
 * @param lines of the region, as the model saw them
 * @param eol line end of the document
 */
export function textEdits(
  replacements: readonly Replacement[],
  { first }: Region,
  lines: { readonly text: string; readonly indent: string },
  eol: string,
): TextEdit[] {
  const position = (offset: number) => {
    const before = lines.text.slice(0, offset)
    const start = before.lastIndexOf('\n') + 1
    return { line: first + before.split('\n').length - 1, character: lines.indent.length + offset - start }
  }
  return replacements.map(({ from, to, text }) => ({
    range: { start: position(from), end: position(to) },
    newText: text.replaceAll('\n', eol + lines.indent),
  }))
}
