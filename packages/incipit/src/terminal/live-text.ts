import { fit, Layout } from './layout.ts'
import { Printable } from './printable.ts'

/** What `LiveText` needs of a terminal; `process.stdout` is one when it is a TTY. */
export interface TerminalOutput {
  /** Cells per row and rows per screen; may change at any time (call `resize`). */
  readonly columns: number
  readonly rows: number
  write(text: string): unknown
}

const esc = '\u{1b}'
const dim = `${esc}[2m`
const plain = `${esc}[0m`
const saveCursor = `${esc}7`
const restoreCursor = `${esc}8`
const eraseBelow = `${esc}[J`
/** Moves down in the same column and scrolls at the bottom. */
const index = `${esc}D`

/**
 * Revisable text on a terminal: committed text is ordinary output; the provisional tail stands behind it, dim, and is
 * overwritten in place.
 *
 * Between two writes the cursor rests at the end of the committed text, before the tail. Taking a tail back is then
 * "erase to the end of the screen", whatever happened to the screen in between (a resize, a wide character the terminal
 * draws differently). Each change is one write, so an interrupted process leaves no colours or modes behind.
 *
 * A tail that would not fit below the committed text is shown cut with an ellipsis; a line with characters on whose
 * width terminals disagree shows no tail. Both are shown in full once committed. What a resize scrolls out of the screen
 * cannot be overwritten: if that happens to the end of the committed text, its tail stays there, dim.
 */
export class LiveText {
  readonly #out: TerminalOutput
  readonly #printable = new Printable()
  #layout: Layout
  /** Committed text since its last newline, to lay it out again after a resize. */
  #line = ''
  #tail = ''
  #tailShown = false

  constructor(out: TerminalOutput) {
    this.#out = out
    this.#layout = new Layout(out.columns)
  }

  /** Appends `committed` (may be empty) and replaces the tail by `tail` (may be empty). */
  update(committed: string, tail: string): void {
    const erased = this.#eraseTail()
    const text = this.#printable.push(committed)
    this.#commit(text)
    this.#tail = this.#printable.peek(tail)
    const output = erased + text + this.#drawTail()
    if (output !== '') this.#out.write(output)
  }

  /** Call after the terminal changed its size. */
  resize(): void {
    this.#layout = new Layout(this.#out.columns)
    this.#layout.write(this.#line)
    this.#layout.row = 0
    // Terminals differ in where a full row leaves the cursor after a resize.
    if (this.#layout.pendingWrap) this.#layout.certain = false
    const output = this.#eraseTail() + this.#drawTail()
    if (output !== '') this.#out.write(output)
  }

  /** Takes the tail back and ends the line, so that the next output starts at the left edge. */
  finish(): void {
    const output = this.#eraseTail() + (this.#line === '' ? '' : '\n')
    this.#tail = ''
    this.#line = ''
    this.#layout = new Layout(this.#out.columns)
    if (output !== '') this.#out.write(output)
  }

  #commit(text: string): void {
    this.#layout.write(text)
    const newline = text.lastIndexOf('\n')
    this.#line = newline < 0 ? this.#line + text : text.slice(newline + 1)
  }

  #eraseTail(): string {
    if (!this.#tailShown) return ''
    this.#tailShown = false
    // In a full row the cursor stands in the last cell, which erasing would empty on some terminals.
    return this.#toLastGrapheme() + eraseBelow + this.#lastGrapheme()
  }

  #drawTail(): string {
    if (this.#tail === '' || !this.#layout.certain) return ''
    const { text, rows } = this.#visibleTail()
    if (text === '') return ''
    this.#tailShown = true
    // The rows are made first: a scroll between saving and restoring the cursor would restore the wrong row.
    const room = rows === 0 ? '' : `${index.repeat(rows)}${esc}[${rows}A`
    const before = this.#toLastGrapheme() + room + saveCursor + this.#lastGrapheme()
    return before + dim + text + plain + restoreCursor + this.#lastGrapheme()
  }

  #visibleTail(): { text: string; rows: number } {
    const below = this.#out.rows - 1
    const whole = fit(this.#layout, this.#tail, below)
    if (whole.text === this.#tail) return whole
    // The ellipsis takes the place of the last character, which is at least as wide.
    const cut = whole.text.replace(/(\P{M}\p{M}*|\n)$/u, '')
    return fit(this.#layout, `${cut}…`, below)
  }

  /** Rewriting the last grapheme of a full row is the one way to stand in a pending wrap again. */
  #lastGrapheme(): string {
    return this.#layout.pendingWrap && this.#layout.certain ? this.#layout.last : ''
  }

  #toLastGrapheme(): string {
    if (this.#lastGrapheme() === '') return ''
    return `${esc}[${this.#layout.columns - this.#layout.lastCells + 1}G`
  }
}
