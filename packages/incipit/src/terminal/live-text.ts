import { fit, Layout } from './layout.ts'
import { Printable } from './printable.ts'
import { WordWrap } from './word-wrap.ts'

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
 * overwritten in place. Both break between words (see `WordWrap`); a word that was begun in a row and turns out too long
 * for it moves to the next one.
 *
 * Between two writes the cursor rests at the end of the committed text, before the tail. Taking a tail back is then
 * "erase to the end of the screen", whatever happened to the screen in between (a resize, a wide character the terminal
 * draws differently). Each change is one write, so an interrupted process leaves no colours or modes behind. If the tail
 * goes on with the last committed word and they fit the next row only, the word goes there with it, and the cursor rests
 * before both.
 *
 * A tail that would not fit below the committed text is shown cut with an ellipsis; a line with characters on whose
 * width terminals disagree shows no tail. Both are shown in full once committed. What a resize scrolls out of the screen
 * cannot be overwritten: if that happens to the end of the committed text, its tail stays there, dim.
 */
export class LiveText {
  readonly #out: TerminalOutput
  readonly #wrap: boolean
  readonly #printable = new Printable()
  #committed: WordWrap
  /** As much of the last committed word as stands behind the settled text; '' while it stands with the tail. */
  #word = ''
  #tail = ''
  #tailShown = false

  /** @param wrap false: only the terminal breaks lines, so that a copy has none that are not in the text */
  constructor(out: TerminalOutput, { wrap }: { wrap: boolean }) {
    this.#out = out
    this.#wrap = wrap
    this.#committed = new WordWrap(out.columns, wrap)
  }

  /** Appends `committed` (may be empty) and replaces the tail by `tail` (may be empty). */
  update(committed: string, tail: string): void {
    const erased = this.#eraseTail()
    const added = this.#commit(this.#printable.push(committed))
    this.#tail = this.#printable.peek(tail)
    const output = erased + added + this.#drawTail()
    if (output !== '') this.#out.write(output)
  }

  /** Call after the terminal changed its size. */
  resize(): void {
    // How the terminal broke a row is known well enough to go on, not to move a word.
    if (this.#word !== '') this.#pin()
    this.#committed.resize(this.#out.columns)
    const { layout } = this.#committed
    // Terminals differ in where a full row leaves the cursor after a resize.
    if (layout.pendingWrap) layout.certain = false
    const output = this.#eraseTail() + this.#commit('') + this.#drawTail()
    if (output !== '') this.#out.write(output)
  }

  /** Takes the tail back and ends the line, so that the next output starts at the left edge. */
  finish(): void {
    const text = this.#eraseTail() + this.#commit('')
    const output = text + (this.#cursor().column === 0 ? '' : '\n')
    this.#tail = ''
    this.#word = ''
    this.#committed = new WordWrap(this.#out.columns, this.#wrap)
    if (output !== '') this.#out.write(output)
  }

  #commit(text: string): string {
    this.#pinUnlessMovable()
    const back = this.#toWord() + eraseBelow
    const behind = this.#committed.push(text) + this.#committed.open
    const added = behind.startsWith(this.#word) ? behind.slice(this.#word.length) : back + behind
    this.#word = this.#committed.open
    return added
  }

  #eraseTail(): string {
    if (!this.#tailShown) return ''
    this.#tailShown = false
    const cursor = this.#cursor()
    // In a full row the cursor stands in the last cell, which erasing would empty on some terminals.
    return toLastGrapheme(cursor) + eraseBelow + lastGrapheme(cursor)
  }

  #drawTail(): string {
    const cursor = this.#cursor()
    if (this.#tail === '' || !cursor.certain) return ''
    this.#pinUnlessMovable()
    const whole = this.#committed.copy()
    const behind = whole.push(this.#tail) + whole.open
    if (behind.startsWith(this.#word)) return this.#draw(cursor, '', behind.slice(this.#word.length))
    const [lineBreak] = /^\n */.exec(behind) ?? ['']
    const moved = lineBreak + this.#word.replace(/^ +/, '')
    const back = this.#toWord() + eraseBelow
    const drawn = this.#draw(this.#committed.layout, moved, behind.slice(moved.length))
    if (drawn === '') return ''
    this.#word = ''
    return back + drawn
  }

  /** Draws behind `start` a committed word that moves with the tail, and the tail. Nothing when there is no room. */
  #draw(start: Layout, moved: string, tail: string): string {
    const { text, rows } = this.#visible(start, moved + tail)
    if (text.length <= moved.length) return ''
    this.#tailShown = true
    // The rows are made first: a scroll between saving and restoring the cursor would restore the wrong row.
    const room = rows === 0 ? '' : `${index.repeat(rows)}${esc}[${rows}A`
    const before = toLastGrapheme(start) + room + saveCursor + lastGrapheme(start)
    return `${before}${moved}${dim}${text.slice(moved.length)}${plain}${restoreCursor}${lastGrapheme(start)}`
  }

  #visible(start: Layout, text: string): { text: string; rows: number } {
    const below = this.#out.rows - 1
    const whole = fit(start, text, below)
    if (whole.text === text) return whole
    // The ellipsis takes the place of the last character, which is at least as wide.
    const cut = whole.text.replace(/(\P{M}\p{M}*|\n)$/u, '')
    return fit(start, `${cut}…`, below)
  }

  /** Where the cursor rests. */
  #cursor(): Layout {
    const cursor = this.#committed.layout.copy()
    cursor.write(this.#word)
    return cursor
  }

  /** Moves to the beginning of the word that stands behind the settled text. */
  #toWord(): string {
    const { layout } = this.#committed
    return layout.certain ? `${esc}[${layout.column + 1}G` : `${esc}[${this.#cursor().column - layout.column}D`
  }

  #pinUnlessMovable(): void {
    const { layout } = this.#committed
    const cursor = this.#cursor()
    const word = new Layout(layout.columns)
    word.write(this.#word)
    const isCertain = layout.certain || (word.certain && !layout.wrapped)
    if (this.#word !== '' && !(isCertain && cursor.row === layout.row)) this.#pin()
  }

  #pin(): void {
    this.#committed.pin()
    this.#word = ''
  }
}

/** Rewriting the last grapheme of a full row is the one way to stand in a pending wrap again. */
function lastGrapheme(layout: Layout): string {
  return layout.pendingWrap && layout.certain ? layout.last : ''
}

function toLastGrapheme(layout: Layout): string {
  if (lastGrapheme(layout) === '') return ''
  return `${esc}[${layout.columns - layout.lastCells + 1}G`
}
