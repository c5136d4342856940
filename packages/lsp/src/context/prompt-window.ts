import { afterStart, unixLines } from '../documents/line-text.ts'

/** Sizes in UTF-16 units. */
export interface WindowSizes {
  readonly before: number
  readonly after: number
}

// After a move the window begins this far back, so that a while of typing fits until the next move.
const freshShare = 0.75

/**
 * The part of a long document that goes into its prompts. Its beginning moves seldom: a beginning that moved with every
 * character would make everything behind it new.
 */
export class PromptWindow {
  #start = 0

  /** A change of the document, as offsets in the text before it. */
  changed(from: number, to: number, length: number): void {
    // What is put in exactly at its beginning belongs to it.
    if (to < this.#start || (to === this.#start && from < to)) this.#start += length - (to - from)
    else if (from < this.#start) this.#start = from
  }

  /** What goes into the prompt of a cursor. Line ends become `\n`: that is how code was when models read it. */
  around(text: string, cursor: number, sizes: WindowSizes): { before: string; after: string } {
    if (cursor < this.#start || cursor - this.#start > sizes.before) {
      this.#start = lineStart(text, Math.max(0, cursor - Math.floor(sizes.before * freshShare)), cursor)
    }
    const after = text.slice(afterStart(text, cursor))
    return {
      before: unixLines(text.slice(this.#start, cursor)),
      after: wholeLines(unixLines(after.slice(0, sizes.after)), after.length > sizes.after),
    }
  }
}

/** The first beginning of a line at or behind `from`, or `from` where there is none before `to`; never inside a character. */
function lineStart(text: string, from: number, to: number): number {
  if (from === 0) return 0
  const found = text.indexOf('\n', from - 1) + 1
  if (found > 0 && found < to) return found
  return /[\uDC00-\uDFFF]/.test(text[from] ?? '') ? from + 1 : from
}

function wholeLines(text: string, cut: boolean): string {
  if (!cut) return text
  const end = text.lastIndexOf('\n')
  // One endless line: what fits of it, without half a character.
  return end > 0 ? text.slice(0, end + 1) : text.replace(/[\uD800-\uDBFF]$/, '')
}
