/** As much of a line as says what it is. */
const longestStart = 200

const fence = /^[ >]*(?:(`{3,})[^`]*|(~{3,}).*)$/
const listItem = /^ *(?:[-*+•]|\d{1,3}[.)])(?: +|$)/
const indentedCode = /^ {4,}[^ ]/
const tableRow = /^ *\|/

/** What a line of Markdown is, told from its beginning, and whether it stands in a code block. */
export class MarkdownLine {
  #start = ''
  /** The marks that opened the code block. */
  #fence = ''

  push(text: string): void {
    this.#start = (this.#start + text).slice(0, longestStart)
  }

  end(): void {
    const marks = this.#fenceOf(this.#start)
    if (this.#fence === '') this.#fence = marks
    else if (marks.startsWith(this.#fence) && this.#start.trim() === marks) this.#fence = ''
    this.#start = ''
  }

  /** Whether its breaks have a meaning, if it goes on with this text: code, and rows of tables. */
  isVerbatim(text: string): boolean {
    if (this.#fence !== '') return true
    const line = this.#start + text
    if (this.#fenceOf(line) !== '' || tableRow.test(line)) return true
    return indentedCode.test(line) && !listItem.test(line)
  }

  /** Whether there is nothing in the line yet but the mark of a list item. */
  get begins(): boolean {
    return this.#start.length === (listItem.exec(this.#start)?.[0].length ?? 0)
  }

  /** The cells before the text of a list item; 0 in other lines. */
  get hangingIndent(): number {
    return listItem.exec(this.#start)?.[0].length ?? 0
  }

  copy(): MarkdownLine {
    const copy = new MarkdownLine()
    copy.#start = this.#start
    copy.#fence = this.#fence
    return copy
  }

  #fenceOf(line: string): string {
    const [, ticks, tildes] = fence.exec(line) ?? []
    return ticks ?? tildes ?? ''
  }
}
