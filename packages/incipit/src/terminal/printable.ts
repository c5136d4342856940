/**
 * Turns model output into text that is safe to write to a terminal: a model must not be able to move the cursor, set
 * the window title or write to the clipboard. Newlines stay, tabs become spaces up to the next multiple of 8 (a real
 * tab would not erase what it skips), and every other control character becomes its visible Unicode picture, so that
 * nothing is hidden.
 */
export class Printable {
  /** Characters since the last newline, as far as tab stops need them. */
  #column = 0

  push(text: string): string {
    let out = ''
    for (const character of text) {
      if (character === '\n') {
        out += character
        this.#column = 0
      } else if (character === '\t') {
        const spaces = 8 - (this.#column % 8)
        out += ' '.repeat(spaces)
        this.#column += spaces
      } else {
        out += picture(character)
        this.#column++
      }
    }
    return out
  }

  /** The same for text that may be replaced: the state stays as it is. */
  peek(text: string): string {
    const copy = new Printable()
    copy.#column = this.#column
    return copy.push(text)
  }
}

function picture(character: string): string {
  const point = character.codePointAt(0) ?? 0
  // A carriage return before a newline is the end of a line of Windows text; alone it would overwrite the line.
  if (point === 0x0d) return ''
  if (point < 0x20) return String.fromCodePoint(0x2400 + point)
  if (point === 0x7f) return '\u{2421}'
  // C1 controls, and bidirectional overrides that would reorder committed text.
  if ((point >= 0x80 && point <= 0x9f) || (point >= 0x202a && point <= 0x202e)) return '\u{fffd}'
  if (point >= 0x2066 && point <= 0x2069) return '\u{fffd}'
  return character
}
