import { graphemes, graphemeWidth } from './width.ts'

/** What moves to the next row as one: a word, behind the spaces before it. */
export interface Word {
  spaces: string
  /** Empty for spaces at the end of a text. */
  text: string
}

/** Splits a line into words. Scripts that are written without spaces may be broken between any two characters. */
export function wordsOf(line: string): Word[] {
  const words: Word[] = []
  let word: Word = { spaces: '', text: '' }
  let last = ''
  const next = (spaces: string, text: string) => {
    if (word.spaces !== '' || word.text !== '') words.push(word)
    word = { spaces, text }
  }
  for (const grapheme of graphemes(line)) {
    if (grapheme === ' ') {
      if (word.text === '') word.spaces += grapheme
      else next(grapheme, '')
    } else if (word.text !== '' && breaksBetween(last, grapheme)) next('', grapheme)
    else word.text += grapheme
    last = grapheme
  }
  next('', '')
  return words
}

/** Whether a row may end behind a grapheme, before a text without spaces; '' is the beginning of a row. */
export function breaksBetween(before: string, text: string): boolean {
  const [after = ''] = graphemes(text)
  if (before === '' || before === ' ' || neverFirst.test(after) || neverLast.test(before)) return false
  return before === '—' || isIdeographic(before) || isIdeographic(after)
}

/** Korean is wide as well, but written with spaces. */
const isIdeographic = (grapheme: string) => graphemeWidth(grapheme).parts.includes(2) && !hangul.test(grapheme)
const hangul = /\p{Script=Hangul}/u

// Closing brackets and quotes, stops, marks of length and repetition, small kana.
const neverFirst = /^[\p{Pe}\p{Pf}\p{Po}\p{Lm}\p{M}—ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ]/u
// Opening brackets and quotes, and what Markdown puts before a word.
const neverLast = /[\p{Ps}\p{Pi}"'*_`#@$]$/u
