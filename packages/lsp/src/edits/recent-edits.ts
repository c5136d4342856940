import type { Change } from '../documents/documents.ts'

/** Lines of a document as they were, and as they are. Line ends are `\n`. */
export interface RecentEdit {
  readonly uri: string
  readonly before: string
  readonly after: string
}

// More is no single change.
const maxLines = 12
const maxCharacters = 1500
// As many as an example of what the writer is doing takes.
const remembered = 3

/** An edit that goes on while its lines are changed. Offsets are those of the document as it is now, at ends of lines. */
interface OpenEdit extends RecentEdit {
  readonly from: number
  readonly to: number
}

/** What was changed last, in any document: keystrokes in the same or neighbouring lines are one edit. */
export class RecentEdits {
  #done: RecentEdit[] = []
  #open: OpenEdit | undefined

  changed(uri: string, changes: readonly Change[]): void {
    for (const change of changes) this.#change(uri, change)
  }

  /** Edits of lines that were there before, the latest first. What was only added says nothing about other places. */
  get latest(): readonly RecentEdit[] {
    const edits = this.#open ? [this.#open, ...this.#done] : this.#done
    return edits
      .map(({ uri, before, after }) => ({ uri, ...changedLines(withoutReturns(before), withoutReturns(after)) }))
      .filter(({ before, after }) => before.trim() !== '' && after.trim() !== '' && before.trim() !== after.trim())
      .slice(0, remembered)
  }

  #change(uri: string, change: Change): void {
    const { before: text, from, to } = change
    const lines = { from: startOfLine(text, from), to: endOfLine(text, to) }
    const open = this.#open?.uri === uri ? this.#open : undefined
    if (open && lines.from <= open.to + 1 && lines.to >= open.from - 1) {
      const [first, last] = [Math.min(open.from, lines.from), Math.max(open.to, lines.to)]
      const before = text.slice(first, open.from) + open.before + text.slice(open.to, last)
      const whole = opened(uri, before, first, last, change)
      if (isOneEdit(whole)) {
        this.#open = whole
        return
      }
    }
    if (this.#open) this.#done = [this.#open, ...this.#done].slice(0, 2 * remembered)
    const fresh = opened(uri, text.slice(lines.from, lines.to), lines.from, lines.to, change)
    this.#open = isOneEdit(fresh) ? fresh : undefined
  }
}

function opened(uri: string, before: string, from: number, to: number, change: Change): OpenEdit {
  const after = change.before.slice(from, change.from) + change.inserted + change.before.slice(change.to, to)
  return { uri, before, after, from, to: from + after.length }
}

function isOneEdit({ before, after }: OpenEdit): boolean {
  if (before.length > maxCharacters || after.length > maxCharacters) return false
  return before.split('\n').length <= maxLines && after.split('\n').length <= maxLines
}

function startOfLine(text: string, offset: number): number {
  return offset === 0 ? 0 : text.lastIndexOf('\n', offset - 1) + 1
}

function endOfLine(text: string, offset: number): number {
  const end = text.indexOf('\n', offset)
  return end < 0 ? text.length : end
}

/** Without the lines at both ends that are the same. */
function changedLines(before: string, after: string): Pick<RecentEdit, 'before' | 'after'> {
  const [old, now] = [before.split('\n'), after.split('\n')]
  while (old.length > 0 && now.length > 0 && old[0] === now[0]) {
    old.shift()
    now.shift()
  }
  while (old.length > 0 && now.length > 0 && old.at(-1) === now.at(-1)) {
    old.pop()
    now.pop()
  }
  return { before: old.join('\n'), after: now.join('\n') }
}

/** Parts of a document may begin or end in the middle of a line end. */
function withoutReturns(text: string): string {
  return text.replaceAll('\r', '')
}
