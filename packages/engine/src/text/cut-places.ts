import type { Tokenizer } from './tokenizer.ts'

const spaces = ' \t\r\n'
const letterOrDigit = /^[\p{L}\p{N}]$/u
const undecodable = '\ufffd'
const sample = 'a b\nc'

/**
 * Finds places where a text can be cut so that its parts have the same tokens alone as in the whole. Two things make a
 * place such a one:
 *
 * - It stands between a letter or digit and white space, or between the end of a line that is not blank and a letter or
 *   digit. The rules by which tokenizers divide a text into words before they form tokens do not look across it.
 * - No token of the vocabulary has these two characters side by side, so none can span the place, however tokens are
 *   formed (byte-pair merges, scores, longest match).
 *
 * A vocabulary with tokens across words has few such places; one whose tokens do not spell the text has none. Its texts
 * are tokenised whole.
 */
export class CutPlaces {
  readonly #vocab: Tokenizer
  /** Tokens of single characters, counted when asked for. */
  readonly #counts = new Map<string, number>([['', 0]])
  #spells: boolean | undefined
  /** Found once, when a text is first cut: every token of the vocabulary is read. */
  #spanned: ReadonlySet<string> | undefined

  constructor(vocab: Tokenizer) {
    this.#vocab = vocab
  }

  /** Reads the vocabulary now (0.1 to 0.5 s), and not when a text is first cut. */
  prepare(): void {
    this.#spells ??= spells(this.#vocab)
    if (this.#spells) this.#spanned ??= spannedPairs(this.#vocab)
  }

  /** Whether the text can be cut before the UTF-16 offset `at`. */
  isCut(text: string, at: number): boolean {
    const [left, right] = [text[at - 1], text[at]]
    if (left === undefined || right === undefined) return false
    this.#spells ??= spells(this.#vocab)
    if (!this.#spells) return false
    if (spaces.includes(right)) return letterOrDigit.test(left) && !this.#spans(left, right)
    if (left !== '\n' || !letterOrDigit.test(right)) return false
    return /\S/.test(text[at - 2] ?? ' ') && !this.#spans(left, right)
  }

  /** The first place from the UTF-16 offset `from` on, or `end`. */
  next(text: string, from: number, end: number): number {
    let at = from
    while (at < end && !this.isCut(text, at)) at++
    return Math.min(at, end)
  }

  /** The last place in the text, or 0. */
  last(text: string): number {
    let at = text.length - 1
    while (at > 0 && !this.isCut(text, at)) at--
    return Math.max(at, 0)
  }

  /** Number of tokens of a character; none of them reaches beyond it when the text can be cut behind it. */
  countOf(character: string): number {
    let count = this.#counts.get(character)
    if (count === undefined) {
      count = this.#vocab.tokenize(character).length
      this.#counts.set(character, count)
    }
    return count
  }

  #spans(left: string, right: string): boolean {
    this.#spanned ??= spannedPairs(this.#vocab)
    return this.#spanned.has(left + right) || this.#spanned.has(known(left) + known(right))
  }
}

/** Whether tokens have the characters of their text, but for a space that some tokenizers put before it. */
function spells(vocab: Tokenizer): boolean {
  const tokens = vocab.tokenize(sample)
  const text = tokens.map((token) => vocab.specialText(token)).join('')
  return text === sample || text === ` ${sample}`
}

/** Every two characters that a token has side by side, as far as a text might be cut between them. */
function spannedPairs(vocab: Tokenizer): Set<string> {
  const pairs = new Set<string>()
  for (let token = 0; token < vocab.size; token++) {
    const text = vocab.specialText(token)
    for (let at = 1; at < text.length; at++) {
      if (text[at - 1] === '\n' || spaces.includes(text[at]!)) pairs.add(text.slice(at - 1, at + 1))
    }
  }
  // Some tokenizers put a space after a special token, which depends on the token and not on its last letter.
  for (const text of vocab.specialTexts) for (const space of spaces) pairs.add(text.at(-1)! + space)
  return pairs
}

/** The character, or what stands for it in a token that has only a part of its bytes. */
function known(character: string): string {
  return character < '\x80' ? character : undecodable
}
