/** Finds the end of a JSON value in text that comes piece by piece. */
export class JsonEnd {
  #depth = 0
  #inString = false
  #escaped = false
  #begun = false

  /** @returns how many characters of the text belong to the value, and whether it ends with them */
  take(text: string): { length: number; ended: boolean } {
    for (let i = 0; i < text.length; i++) {
      const character = text[i]!
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (character === '\\') this.#escaped = true
        else if (character === '"') {
          this.#inString = false
          if (this.#depth === 0) return { length: i + 1, ended: true }
        }
        continue
      }
      if (character === '"') this.#inString = true
      else if (character === '{' || character === '[') this.#depth++
      else if (character === '}' || character === ']') {
        // Of what the value stands in.
        if (this.#depth === 0) return { length: i, ended: true }
        if (--this.#depth === 0) return { length: i + 1, ended: true }
      } else if (this.#depth === 0 && this.#begun && /[\s,]/.test(character)) return { length: i, ended: true }
      if (/\S/.test(character)) this.#begun = true
    }
    return { length: text.length, ended: false }
  }

  clone(): JsonEnd {
    const copy = new JsonEnd()
    copy.#depth = this.#depth
    copy.#inString = this.#inString
    copy.#escaped = this.#escaped
    copy.#begun = this.#begun
    return copy
  }
}
