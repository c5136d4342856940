import type { ArgumentNotation, ArgumentReader, TakenArguments } from './argument-reader.ts'

/** Arguments that are JSON in the text, too. */
export const jsonArguments: ArgumentNotation = {
  grammar: ({ parameters, strict }) => ({ schema: parameters, lenient: !strict }),
  reader: () => new JsonArguments(),
}

/** Finds the end of a JSON value in text that comes piece by piece. */
class JsonArguments implements ArgumentReader {
  #depth = 0
  #inString = false
  #escaped = false
  #begun = false

  take(text: string): TakenArguments {
    for (let i = 0; i < text.length; i++) {
      const character = text[i]!
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false
        else if (character === '\\') this.#escaped = true
        else if (character === '"') {
          this.#inString = false
          if (this.#depth === 0) return whole(text, i + 1)
        }
        continue
      }
      if (character === '"') this.#inString = true
      else if (character === '{' || character === '[') this.#depth++
      else if (character === '}' || character === ']') {
        // Of what the value stands in.
        if (this.#depth === 0) return whole(text, i)
        if (--this.#depth === 0) return whole(text, i + 1)
      } else if (this.#depth === 0 && this.#begun && /[\s,]/.test(character)) return whole(text, i)
      if (/\S/.test(character)) this.#begun = true
    }
    return { json: text, length: text.length, ended: false }
  }

  clone(): JsonArguments {
    const copy = new JsonArguments()
    copy.#depth = this.#depth
    copy.#inString = this.#inString
    copy.#escaped = this.#escaped
    copy.#begun = this.#begun
    return copy
  }
}

function whole(text: string, length: number): TakenArguments {
  return { json: text.slice(0, length), length, ended: true }
}
