import { graphemes, graphemeWidth } from './width.ts'

/**
 * Where the cursor of a terminal stands after text was written, by the rules all of them share: text wraps at the right
 * edge, a wide character that does not fit moves to the next row, and a row filled to its last cell leaves the cursor
 * *in* that cell ("pending wrap") until the next character comes.
 */
export class Layout {
  readonly columns: number
  /** Rows below the row of the start. */
  row = 0
  /** Cells used in this row, 0..columns; equal to `columns` means a pending wrap. */
  column = 0
  /** False once the line holds a sequence on whose width terminals disagree; true again after a newline. */
  certain = true
  /** The line went on in another row by itself. */
  wrapped = false
  /** The last grapheme of this row, '' at its beginning. */
  last = ''
  /** Cells of `last`. */
  lastCells = 0

  constructor(columns: number) {
    this.columns = Math.max(1, columns)
  }

  get pendingWrap(): boolean {
    return this.column >= this.columns
  }

  write(text: string): void {
    for (const grapheme of graphemes(text)) this.#put(grapheme)
  }

  /** A layout that starts where this one stands. */
  copy(): Layout {
    const copy = new Layout(this.columns)
    copy.row = this.row
    copy.column = this.column
    copy.certain = this.certain
    copy.wrapped = this.wrapped
    copy.last = this.last
    copy.lastCells = this.lastCells
    return copy
  }

  #put(grapheme: string): void {
    if (grapheme === '\n' || grapheme === '\r\n') {
      this.row++
      this.column = 0
      this.certain = true
      this.wrapped = false
      this.last = ''
      this.lastCells = 0
      return
    }
    const { parts, certain } = graphemeWidth(grapheme)
    if (!certain) this.certain = false
    // A mark that arrives alone (its base came in an earlier piece) is drawn onto what stands there.
    if (parts.length === 0) this.last += grapheme
    for (const cells of parts) {
      if (this.column + cells > this.columns) {
        this.row++
        this.column = 0
        this.wrapped = true
      }
      this.column = Math.min(this.columns, this.column + cells)
      this.last = grapheme
      this.lastCells = cells
    }
  }
}

/**
 * The longest beginning of `text`, in whole graphemes, that goes at most `rows` rows below the place where `start`
 * stands, and how many rows below it ends.
 */
export function fit(start: Layout, text: string, rows: number): { text: string; rows: number } {
  const layout = start.copy()
  let end = 0
  let reached = 0
  for (const grapheme of graphemes(text)) {
    layout.write(grapheme)
    if (layout.row - start.row > rows) break
    end += grapheme.length
    reached = layout.row - start.row
  }
  return { text: text.slice(0, end), rows: reached }
}
