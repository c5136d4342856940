const closing: Readonly<Record<string, string>> = { ')': '(', ']': '[', '}': '{' }

/**
 * Reads code from left to right and knows which brackets are open. Strings and comments are recognised by the marks that
 * nearly all languages share, so it may err where a language has others; what it is for bears that.
 */
export class BracketReader {
  readonly #comment: string
  #open: string[] = []
  #quote = ''
  #inComment = false
  #escaped = false
  #last = ''

  /** @param comment how the language marks a comment up to the end of the line */
  constructor(comment: string) {
    this.#comment = comment
  }

  /** Brackets that are open, the outermost first. */
  get open(): readonly string[] {
    return this.#open
  }

  /** Whether it stands in a string or a comment. */
  get inText(): boolean {
    return this.#quote !== '' || this.#inComment
  }

  /** Reads one character. Returns false for a closing bracket that nothing is open for: it is not taken. */
  read(character: string): boolean {
    const before = this.#last
    this.#last = character
    if (character === '\n') {
      this.#inComment = false
      // Only template strings go on in the next line.
      if (this.#quote !== '`') this.#quote = ''
      this.#escaped = false
      return true
    }
    if (this.#inComment) return true
    if (this.#quote !== '') {
      if (this.#escaped) this.#escaped = false
      else if (character === '\\') this.#escaped = true
      else if (character === this.#quote) this.#quote = ''
      return true
    }
    if ((before + character).endsWith(this.#comment)) this.#inComment = true
    else if (character === '"' || character === '`' || (character === "'" && !/[\p{L}\p{N}]/u.test(before))) {
      this.#quote = character
    } else if ('([{'.includes(character)) this.#open.push(character)
    else if (character in closing) {
      if (this.#open.at(-1) !== closing[character]) return false
      this.#open.pop()
    }
    return true
  }

  /** Reads a text that is there already: a closing bracket without an opening one before it does not matter. */
  readAll(text: string): this {
    for (const character of text) this.read(character)
    return this
  }
}
