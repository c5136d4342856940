import type { TextDocumentContentChangeEvent } from 'vscode-languageserver'
import { TextDocument } from 'vscode-languageserver-textdocument'

/** Longer documents are mirrored and get no completions. In UTF-16 units. */
const maxLength = 8_000_000

/** A change of a document, as offsets in the text before it. */
export interface Change {
  /** That text. */
  readonly before: string
  readonly from: number
  readonly to: number
  /** What stands there now. */
  readonly inserted: string
}

export type ChangeListener = (document: TextDocument, changes: readonly Change[]) => void

/** Documents for `TextDocuments` that say what changed in them. */
export function changingDocuments(onChanges: ChangeListener) {
  return {
    create: (uri: string, languageId: string, version: number, text: string) =>
      TextDocument.create(uri, languageId, version, text),
    update(document: TextDocument, changes: TextDocumentContentChangeEvent[], version: number): TextDocument {
      const made: Change[] = []
      let current = document
      // One by one: each is meant for the text that the one before left.
      for (const change of changes) {
        const range = 'range' in change ? change.range : undefined
        const before = current.getText()
        const from = range ? current.offsetAt(range.start) : 0
        const to = range ? current.offsetAt(range.end) : before.length
        made.push({ before, from, to: Math.max(from, to), inserted: change.text })
        current = TextDocument.update(current, [change], version)
      }
      onChanges(current, made)
      return current
    },
  }
}

/** Why a document gets no completions, where it gets none. */
export function unfitReason(document: TextDocument): string | undefined {
  const text = document.getText()
  if (text.length > maxLength) return 'the file is too large'
  if (text.slice(0, 100_000).includes('\0')) return 'the file is binary'
  return undefined
}
