import stringWidth from 'string-width'

/**
 * How many terminal cells a grapheme takes. Terminals agree on single characters (East Asian wide ones and most emoji
 * take two cells, combining marks none) and disagree on sequences (flags, skin tones, ZWJ families, VS16). Those are
 * reported as not certain, with the cells of each part as the most literal terminal would draw them.
 */
export interface GraphemeWidth {
  /** Cells of each part that is drawn by itself; empty for a mark without a base. */
  parts: readonly number[]
  certain: boolean
}

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** Splits text into what a reader sees as characters. */
export function graphemes(text: string): string[] {
  // Printable ASCII, the common case, needs no segmentation.
  if (/^[\x20-\x7e]*$/.test(text)) return [...text]
  return Array.from(segmenter.segment(text), (part) => part.segment)
}

export function graphemeWidth(grapheme: string): GraphemeWidth {
  const parts = Array.from(grapheme, cellsOf).filter((cells) => cells > 0)
  // A selector for emoji style (U+FE0F) widens its base where it is understood.
  if (grapheme.includes(emojiStyle)) parts.fill(2)
  return { parts, certain: parts.length <= 1 && !partOfSequence.test(grapheme) }
}

const emojiStyle = '\u{fe0f}'
/** Also true for a half of a sequence: the other half may come with the next piece of text. */
const partOfSequence = /\p{Cf}|\p{Emoji_Modifier}|\p{Regional_Indicator}|\u{fe0e}|\u{fe0f}/u

/** Vowels and finals of decomposed Hangul: drawn into the syllable of their initial, which may have come before. */
const hangulInside = /[\u{1160}-\u{11ff}\u{d7b0}-\u{d7ff}]/u

/**
 * Of one code point, not of the grapheme: of a family of emoji string-width says what a terminal draws that knows it (2),
 * and to leave nothing of a tail behind one has to know the most that any terminal draws (6).
 */
function cellsOf(character: string): number {
  return hangulInside.test(character) ? 0 : stringWidth(character)
}
