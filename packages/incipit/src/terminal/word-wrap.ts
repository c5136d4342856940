import { Layout } from './layout.ts'
import { MarkdownLine } from './markdown-line.ts'
import { breaksBetween, type Word, wordsOf } from './words.ts'

/** Breaks a whole text between words, as `WordWrap` does. */
export function wrapMarkdown(text: string, columns: number): string {
  const wrap = new WordWrap(columns, true)
  return wrap.push(text) + wrap.open
}

/**
 * Breaks text that arrives in pieces between words. Rows after the first of a list item stand below its text. Code and
 * tables stay as they are, and so does a word that is longer than a row: the terminal breaks those, and copies them whole.
 */
export class WordWrap {
  /** Where the settled text ends. */
  layout: Layout
  readonly #enabled: boolean
  #markdown = new MarkdownLine()
  /** Settled text since its last newline, to lay it out again after a resize. */
  #row = ''
  /** The last word and the spaces before it: when the word goes on, it may have to move to the next row. */
  #open = ''

  /** @param enabled false: only the terminal breaks lines */
  constructor(columns: number, enabled: boolean) {
    this.layout = new Layout(columns)
    this.#enabled = enabled
  }

  /** The last word as it is to be shown behind the settled text. */
  get open(): string {
    return this.#open.trim() === '' ? '' : this.#open
  }

  /** Takes the next piece. Returns what is settled by it, from the end of what was settled before. */
  push(text: string): string {
    const lines = (this.#open + text).split('\n')
    this.#open = ''
    let settled = ''
    for (const [index, line] of lines.entries()) {
      if (index > 0) {
        settled += this.#settle('\n')
        this.#markdown.end()
      }
      settled += this.#line(line, index < lines.length - 1)
    }
    return settled
  }

  /** Settles the last word where it is shown. */
  pin(): void {
    if (this.open !== '') this.#settleOpen()
  }

  /** After the terminal has laid out the settled text anew. */
  resize(columns: number): void {
    this.layout = new Layout(columns)
    this.layout.write(this.#row)
  }

  copy(): WordWrap {
    const copy = new WordWrap(this.layout.columns, this.#enabled)
    copy.layout = this.layout.copy()
    copy.#markdown = this.#markdown.copy()
    copy.#open = this.#open
    return copy
  }

  #line(line: string, complete: boolean): string {
    if (!this.#enabled || this.#markdown.isVerbatim(line)) {
      this.#markdown.push(line)
      return this.#settle(line)
    }
    const words = wordsOf(line)
    const last = complete ? undefined : words.pop()
    let settled = ''
    // Spaces at the end of a line go.
    for (const word of words) if (word.text !== '') settled += this.#begin(word) + this.#settleOpen()
    if (!last) return settled
    settled += this.#begin(last)
    // A long word goes nowhere any more, and is not to be measured again with each of its pieces.
    return last.text !== '' && this.#isLong(this.#open) ? settled + this.#settleOpen() : settled
  }

  /** Makes a word the open one. Returns the break in front of it, '' for none. */
  #begin({ spaces, text }: Word): string {
    this.#open = spaces + text
    if (text === '' || this.#fits(this.#open)) return ''
    // At the beginning of a row nothing is gained, and inside a word that was settled there is no break.
    if (this.#markdown.begins || (spaces === '' && !breaksBetween(this.layout.last, text))) return ''
    this.#open = text
    const indent = this.#markdown.hangingIndent
    return this.#settle(`\n${' '.repeat(indent <= this.layout.columns / 3 ? indent : 0)}`)
  }

  #fits(text: string): boolean {
    const end = this.layout.copy()
    end.write(text)
    // Where the width is not certain no row is filled: nobody would know on which row the cursor stands.
    return end.row === this.layout.row && (end.certain || !end.pendingWrap)
  }

  #isLong(text: string): boolean {
    const row = new Layout(this.layout.columns)
    row.write(text)
    return row.row > 0
  }

  #settleOpen(): string {
    const text = this.#open
    this.#open = ''
    this.#markdown.push(text)
    return this.#settle(text)
  }

  #settle(text: string): string {
    this.layout.write(text)
    const newline = text.lastIndexOf('\n')
    this.#row = newline < 0 ? this.#row + text : text.slice(newline + 1)
    return text
  }
}
