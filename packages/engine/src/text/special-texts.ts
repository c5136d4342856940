import type { Tokenizer } from './tokenizer.ts'

// Private-use characters around an index: they stand for a text while the template is rendered.
const open = '\u{F0000}'
const close = '\u{F0001}'
const placeholder = /\u{F0000}(\d+)\u{F0001}/u

/**
 * Keeps text that looks like a special token, such as `<|im_end|>`, plain text among special tokens that are meant, so
 * that nobody can end their turn and speak as the system.
 */
export class SpecialTexts {
  readonly #vocab: Tokenizer
  readonly #texts: readonly string[]
  readonly #pattern: RegExp

  constructor(vocab: Tokenizer) {
    this.#vocab = vocab
    // A message may contain the placeholder's own characters, too.
    this.#texts = [...vocab.specialTexts, open, close]
    this.#pattern = new RegExp(this.#texts.map(escaped).join('|'), 'g')
  }

  /** The text with a placeholder for everything in it that looks like a special token. */
  hide(text: string): string {
    return text.replace(this.#pattern, (found) => `${open}${this.#texts.indexOf(found)}${close}`)
  }

  /** Tokens of a text in which special tokens are special, and what was hidden is plain. */
  tokens(text: string, options: { addBos?: boolean } = {}): number[] {
    if (!text.includes(open)) return this.#vocab.tokenize(text, { ...options, special: true })
    return text.split(placeholder).flatMap((part, index) => {
      const hidden = index % 2 === 1
      const addBos = index === 0 && (options.addBos ?? false)
      return this.#vocab.tokenize(hidden ? this.#texts[Number(part)]! : part, { special: !hidden, addBos })
    })
  }
}

/** A text as a pattern that matches it alone (`RegExp.escape`, which Node 22 does not have). */
function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}
