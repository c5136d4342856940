import type { CutPlaces } from './cut-places.ts'

/** A part of a text between two cut places. */
interface Part {
  /** In UTF-16 code units. */
  readonly length: number
  readonly tokens: readonly number[]
}

// Parts of up to twice this length are tokenised as one when something in them changes.
const defaultPartLength = 128
// Some tokenizers compile regular expressions at every call, so a long new text is cut into longer parts, but not many.
const maxParts = 64

/**
 * Tokens of a text that changes a little at a time, such as one that is being typed. The text is kept in parts that are
 * tokenised one by one; those that a change does not touch keep their tokens. The tokens are those of the whole text.
 */
export class IncrementalTokenizer {
  readonly #cuts: CutPlaces
  readonly #encode: (text: string) => number[]
  /** Tokens of the beginning that never changes. */
  readonly #head: readonly number[]
  /** What every text begins with after the head; its first `#start` characters belong to the head. */
  readonly #fixed: string
  readonly #start: number
  readonly #partLength: number
  #text = ''
  #parts: readonly Part[] = []

  /**
   * @param encode tokens of a text
   * @param before what every text begins with
   * @param partLength in UTF-16 code units
   */
  constructor(
    cuts: CutPlaces,
    encode: (text: string) => number[],
    before = '',
    partLength: number = defaultPartLength,
  ) {
    this.#cuts = cuts
    this.#encode = encode
    this.#partLength = partLength
    const cut = cuts.last(before)
    this.#head = encode(before.slice(0, cut))
    this.#start = Math.min(cut, 1)
    this.#fixed = before.slice(cut - this.#start)
  }

  /** Tokens of `before` and this text: a new array at every call. */
  tokens(open: string): number[] {
    const text = this.#fixed + open
    const old = this.#parts
    let [front, from] = [0, this.#start]
    while (front < old.length && this.#same(text, from, from, old[front]!.length)) from += old[front++]!.length
    // What comes next may have changed, so the text may no longer be cut here. Between parts that stayed it still is.
    while (front > 0 && from < text.length && !this.#cuts.isCut(text, from)) from -= old[--front]!.length

    let [back, to, oldTo] = [old.length, text.length, this.#text.length]
    // The first part has nothing before it: it can stand nowhere else.
    while (back > Math.max(front, 1)) {
      const { length } = old[back - 1]!
      if (to - length < from || !this.#same(text, to - length, oldTo - length, length)) break
      back--
      to -= length
      oldTo -= length
    }
    while (back < old.length && !this.#cuts.isCut(text, to)) to += old[back++]!.length
    // A short rest joins the part behind it, so that parts do not become ever more and shorter.
    while (from < to && to - from < this.#partLength && back < old.length) to += old[back++]!.length
    this.#parts = [...old.slice(0, front), ...this.#split(text, from, to), ...old.slice(back)]
    this.#text = text
    return this.#head.concat(...this.#parts.map(({ tokens }) => tokens))
  }

  /** Whether the text has at `at` what the last one had at `oldAt`. */
  #same(text: string, at: number, oldAt: number, length: number): boolean {
    return text.slice(at, at + length) === this.#text.slice(oldAt, oldAt + length)
  }

  #split(text: string, from: number, to: number): Part[] {
    const least = Math.max(this.#partLength, Math.ceil((to - from) / maxParts))
    const parts: Part[] = []
    for (let at = from; at < to; ) {
      const end = to - at > 2 * least ? this.#cuts.next(text, at + least, to) : to
      // The character before goes along, because some tokenizers put a space before the beginning of a text.
      const before = text.slice(Math.max(at - 1, 0), at)
      const tokens = this.#encode(before + text.slice(at, end)).slice(this.#cuts.countOf(before))
      parts.push({ length: end - at, tokens })
      at = end
    }
    return parts
  }
}
