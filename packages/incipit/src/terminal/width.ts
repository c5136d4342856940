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
  const parts = Array.from(grapheme, codePointWidth).filter((cells) => cells > 0)
  // A selector for emoji style (U+FE0F) widens its base where it is understood.
  if (grapheme.includes(emojiStyle)) parts.fill(2)
  return { parts, certain: parts.length <= 1 && !partOfSequence.test(grapheme) }
}

const emojiStyle = '\u{fe0f}'
/** Also true for a half of a sequence: the other half may come with the next piece of text. */
const partOfSequence = /\p{Cf}|\p{Emoji_Modifier}|\p{Regional_Indicator}|\u{fe0e}|\u{fe0f}/u

function codePointWidth(character: string): number {
  const point = character.codePointAt(0) ?? 0
  if (point < 0x300) return 1
  // Vowels and finals of decomposed Hangul are drawn into the syllable of their initial.
  if (point >= 0x1160 && point <= 0x11ff) return 0
  if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(character)) return 0
  if (/\p{Emoji_Presentation}/u.test(character)) return 2
  return isWide(point) ? 2 : 1
}

/**
 * Ranges of East_Asian_Width W and F (Unicode Standard Annex 11) that are not emoji, which JavaScript's regular
 * expressions know by themselves; unassigned gaps inside a wide block count as wide.
 */
const wideRanges: readonly (readonly [number, number])[] = [
  [0x1100, 0x115f],
  [0x2329, 0x232a],
  [0x2e80, 0x303e],
  [0x3041, 0x33ff],
  [0x3400, 0x4dbf],
  [0x4e00, 0xa4cf],
  [0xa960, 0xa97f],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe10, 0xfe19],
  [0xfe30, 0xfe6f],
  [0xff01, 0xff60],
  [0xffe0, 0xffe6],
  [0x16fe0, 0x18dff],
  [0x1aff0, 0x1b2ff],
  [0x1f200, 0x1f2ff],
  [0x20000, 0x3fffd],
]

function isWide(point: number): boolean {
  return wideRanges.some(([first, last]) => point >= first && point <= last)
}
