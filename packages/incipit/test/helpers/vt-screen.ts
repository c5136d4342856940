/**
 * A terminal small enough to check by reading: text with pending wrap, wide characters, newline (with the terminal
 * driver's carriage return), scrolling into a scrollback, and the few escape sequences `LiveText` uses. Anything else
 * throws. As on xterm, erasing with a wrap pending empties the last cell.
 */
export class VtScreen {
  readonly columns: number
  readonly rows: number
  /** Cells of a character; 0 joins it to the one before. */
  readonly #width: (character: string) => number
  #cells: Cell[][]
  readonly #scrollback: Cell[][] = []
  #row = 0
  #column = 0
  #dim = false
  #saved = { row: 0, column: 0, dim: false }

  constructor(columns: number, rows: number, width: (character: string) => number) {
    this.columns = columns
    this.rows = rows
    this.#width = width
    this.#cells = Array.from({ length: rows }, () => this.#blankRow())
  }

  write(text: string): void {
    const pattern = /\p{Cc}\[(\d*)([A-Za-z])|\p{Cc}([78D])|[\s\S]/gu
    for (const [all, parameter, csi, single] of text.matchAll(pattern)) {
      if (csi !== undefined) this.#control(csi, parameter === '' ? undefined : Number(parameter))
      else if (single === '7') this.#saved = { row: this.#row, column: this.#column, dim: this.#dim }
      else if (single === '8') this.#restore()
      else if (single === 'D') this.#index()
      else if (all === '\n') {
        this.#index()
        this.#column = 0
      } else if (/\p{Cc}/u.test(all)) throw new Error(`unexpected control character ${JSON.stringify(all)}`)
      else this.#put(all)
    }
  }

  /** Everything that was ever on the screen, one string per row, without trailing blanks and blank last rows. */
  lines(which: 'plain' | 'dim' | 'all' = 'all'): string[] {
    const rows = [...this.#scrollback, ...this.#cells].map((row) =>
      row
        .map((cell) => (which === 'all' || cell.text === '' || cell.dim === (which === 'dim') ? cell.text : ' '))
        .join('')
        .trimEnd(),
    )
    while (rows.at(-1) === '') rows.pop()
    return rows
  }

  get cursor(): { row: number; column: number } {
    return { row: this.#scrollback.length + this.#row, column: this.#column }
  }

  #restore(): void {
    this.#row = this.#saved.row
    this.#column = this.#saved.column
    this.#dim = this.#saved.dim
  }

  #control(name: string, parameter: number | undefined): void {
    if (name === 'A') {
      this.#row = Math.max(0, this.#row - (parameter ?? 1))
      this.#column = Math.min(this.#column, this.columns - 1)
    } else if (name === 'G') this.#column = Math.min(this.columns, parameter ?? 1) - 1
    else if (name === 'D') this.#column = Math.max(0, Math.min(this.#column, this.columns - 1) - (parameter ?? 1))
    else if (name === 'J' && parameter === undefined) this.#eraseBelow()
    else if (name === 'm') this.#dim = parameter === 2
    else throw new Error(`unexpected control sequence ${parameter ?? ''}${name}`)
  }

  #eraseBelow(): void {
    this.#cells[this.#row]!.fill(blank, Math.min(this.#column, this.columns - 1))
    for (let row = this.#row + 1; row < this.rows; row++) this.#cells[row] = this.#blankRow()
  }

  #index(): void {
    if (this.#row < this.rows - 1) {
      this.#row++
      return
    }
    this.#scrollback.push(this.#cells.shift()!)
    this.#cells.push(this.#blankRow())
  }

  #put(character: string): void {
    const width = this.#width(character)
    if (width === 0) {
      const column = this.#cells[this.#row]!.findLastIndex((cell, at) => at < this.#column && cell.text !== '')
      const cell = this.#cells[this.#row]![column]
      if (cell !== undefined) this.#cells[this.#row]![column] = { ...cell, text: cell.text + character }
      return
    }
    if (this.#column + width > this.columns) {
      this.#index()
      this.#column = 0
    }
    const row = this.#cells[this.#row]!
    row[this.#column] = { text: character, dim: this.#dim }
    if (width === 2) row[this.#column + 1] = { text: '', dim: this.#dim }
    this.#column += width
  }

  #blankRow(): Cell[] {
    return Array.from({ length: this.columns }, () => blank)
  }
}

interface Cell {
  readonly text: string
  readonly dim: boolean
}

const blank: Cell = { text: ' ', dim: false }
