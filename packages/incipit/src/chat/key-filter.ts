/** How a line end inside a message looks while it is edited in one line. */
export const lineEnd = '␤'

const pasteBegins = '\u{1b}[200~'
const pasteEnds = '\u{1b}[201~'
const altEnter = '\u{1b}\r'

/** Asks a terminal to say where a paste begins and ends, and no longer. */
export const markPastes = '\u{1b}[?2004h'
export const unmarkPastes = '\u{1b}[?2004l'

/**
 * Stands between a terminal's keys and a line editor: line ends of a paste, and Alt-Enter, become a sign in the line
 * instead of its end.
 */
export class KeyFilter {
  #pasting = false
  /** The beginning of a mark, whose rest has not come yet. */
  #rest = ''

  push(keys: string): string {
    let text = this.#rest + keys
    this.#rest = ''
    let out = ''
    for (;;) {
      const mark = this.#pasting ? pasteEnds : pasteBegins
      const at = text.indexOf(mark)
      const part = at < 0 ? text : text.slice(0, at)
      if (at < 0) {
        const cut = beginningOf(mark, part)
        this.#rest = part.slice(part.length - cut)
        return out + this.#translate(part.slice(0, part.length - cut))
      }
      out += this.#translate(part)
      text = text.slice(at + mark.length)
      this.#pasting = !this.#pasting
    }
  }

  #translate(text: string): string {
    if (!this.#pasting) return text.replaceAll(altEnter, lineEnd)
    // Other control characters of a paste would be commands of the line editor.
    return text
      .replaceAll(/\r\n?|\n/g, lineEnd)
      .replaceAll('\t', '  ')
      .replaceAll(/\p{Cc}/gu, '')
  }
}

/** How many characters at the end of a text are the beginning of a mark. A lone Escape is a key. */
function beginningOf(mark: string, text: string): number {
  for (let length = Math.min(mark.length - 1, text.length); length > 1; length--) {
    if (text.endsWith(mark.slice(0, length))) return length
  }
  return 0
}
