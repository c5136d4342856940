import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { graphemes, graphemeWidth } from './width.ts'

const family = '👩\u{200d}👩\u{200d}👧'

describe('graphemeWidth', () => {
  const certain: [string, string, number[]][] = [
    ['a letter', 'a', [1]],
    ['a precomposed letter', 'é', [1]],
    ['a letter with a combining mark', 'e\u{301}', [1]],
    ['a letter with five combining marks', `z${'\u{335}'.repeat(5)}`, [1]],
    ['a mark without its base', '\u{301}', []],
    ['an East Asian wide character', '漢', [2]],
    ['a halfwidth one', 'ｶ', [1]],
    ['a fullwidth Latin letter', 'Ａ', [2]],
    ['a wide one beyond the basic plane', '\u{20000}', [2]],
    ['a Hangul syllable', '한', [2]],
    ['the same decomposed', '\u{1112}\u{1161}\u{11ab}', [2]],
    ['its vowel alone, which came in a piece of its own', '\u{1161}', []],
    ['an emoji', '😀', [2]],
    ['a symbol that is no emoji by itself', '❤', [1]],
    ['an ambiguous character, narrow as terminals have it', '…', [1]],
    ['a letter of Thai with a mark above', 'ก\u{e34}', [1]],
  ]
  for (const [name, grapheme, parts] of certain) {
    it(`is certain of ${name}`, () => {
      assert.deepEqual(graphemes(grapheme), [grapheme])
      assert.deepEqual(graphemeWidth(grapheme), { parts, certain: true })
    })
  }

  // How wide a terminal draws them at most.
  const uncertain: [string, string, number[]][] = [
    ['a family of emoji', family, [2, 2, 2]],
    ['an emoji with a skin tone', '👍🏽', [2, 2]],
    ['a flag', '🇫🇷', [2, 2]],
    ['a half of a flag', '🇫', [2]],
    ['a symbol in emoji style', '❤\u{fe0f}', [2]],
    ['a keycap', '1\u{fe0f}\u{20e3}', [2]],
    ['a conjunct of Devanagari', 'क्षि', [1, 1, 1]],
  ]
  for (const [name, grapheme, parts] of uncertain) {
    it(`is not certain of ${name}`, () => {
      assert.deepEqual(graphemes(grapheme), [grapheme])
      assert.deepEqual(graphemeWidth(grapheme), { parts, certain: false })
    })
  }
})
