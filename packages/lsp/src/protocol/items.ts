import {
  type Command,
  type CompletionItem,
  CompletionItemKind,
  type InlineCompletionItem,
  type Position,
  type SelectedCompletionInfo,
} from 'vscode-languageserver'
import type { TextDocument } from 'vscode-languageserver-textdocument'
import type { Insertion } from '../suggest/insertion.ts'
import { acceptedCommand } from './messages.ts'

/** What an editor runs when something was taken. */
export function accepted(id: number): Command {
  return { title: 'accepted', command: acceptedCommand, arguments: [id] }
}

/** @param selected the entry of a completion list that stands there as if it were typed */
export function inlineItem(
  { text, replaces }: Insertion,
  position: Position,
  selected: SelectedCompletionInfo | undefined,
  id: number,
): InlineCompletionItem {
  const end = { line: position.line, character: position.character + replaces }
  return {
    insertText: (selected?.text ?? '') + text,
    range: selected ? selected.range : { start: position, end },
    command: accepted(id),
  }
}

/** An entry of the completion list, for editors that show nothing inline. */
export function listItem(
  { text, replaces }: Insertion,
  document: TextDocument,
  position: Position,
  id: number,
): CompletionItem {
  const line = document.getText({ start: { line: position.line, character: 0 }, end: position })
  // Editors filter by the word at the cursor, so the entry begins with it.
  const word = /[\p{L}\p{N}_$]*$/u.exec(line)![0]
  const newText = word + text
  const start = { line: position.line, character: position.character - word.length }
  const end = { line: position.line, character: position.character + replaces }
  return {
    label: firstLine(newText.trimStart()),
    kind: CompletionItemKind.Text,
    detail: 'incipit',
    documentation: newText,
    filterText: newText,
    // Before everything that begins with a letter.
    sortText: '!',
    preselect: true,
    textEdit: { range: { start, end }, newText },
    command: accepted(id),
  }
}

function firstLine(text: string): string {
  const [first = '', ...others] = text.split('\n')
  return others.length > 0 ? `${first} …` : first
}
