import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { full } from '../../test/fixtures/test-size.ts'
import { texts } from '../../test/fixtures/texts.ts'
import { vocabularies } from '../../test/fixtures/vocabularies.ts'
import { replay } from '../../test/replay.ts'
import { CutPlaces } from './cut-places.ts'
import type { Tokenizer } from './tokenizer.ts'

/** A vocabulary that takes the longest token at every place; token i is the i-th text. */
function longestMatch(texts: readonly string[]): Tokenizer {
  const tokenize = (text: string) => {
    const tokens: number[] = []
    for (let at = 0; at < text.length; at += texts[tokens.at(-1)!]!.length) {
      const fits = texts.filter((token) => text.startsWith(token, at))
      tokens.push(texts.indexOf(fits.reduce((a, b) => (b.length > a.length ? b : a))))
    }
    return tokens
  }
  const specialText = (token: number) => texts[token]!
  const bytesOf = (token: number) => new TextEncoder().encode(texts[token])
  return { size: texts.length, bos: -1, addsBos: false, specialTexts: [], tokenize, bytesOf, specialText }
}

/** The parts of a text that is cut wherever it can be. */
function parts(cuts: CutPlaces, text: string): string[] {
  const places = Array.from({ length: text.length }, (_, at) => at).filter((at) => at > 0 && cuts.isCut(text, at))
  return [0, ...places].map((at, i) => text.slice(at, places[i]))
}

/** Tokens of the parts, each tokenised with the character before it. */
function tokensOfParts(cuts: CutPlaces, vocab: Tokenizer, text: string): number[] {
  let at = 0
  return parts(cuts, text).flatMap((part) => {
    const before = text.slice(Math.max(at - 1, 0), at)
    at += part.length
    return vocab.tokenize(before + part).slice(cuts.countOf(before))
  })
}

const characters = ['a', 'b', 'c', '1', 'é', '.', ' ', '\n']

test('a text can be cut before the space after a word, and after a line', () => {
  const cuts = new CutPlaces(longestMatch(characters))
  assert.deepEqual(parts(cuts, 'ab c. 1é\nb.\na'), ['ab', ' c. 1é', '\n', 'b.\n', 'a'])
})

test('it cannot be cut in white space, beside signs, after blank lines and at its ends', () => {
  const cuts = new CutPlaces(longestMatch(characters))
  for (const text of ['a', '', '. .', '.\n\na', '. \na', 'a.b', '\na', ' a', '.\n.']) {
    assert.deepEqual(parts(cuts, text), [text])
  }
})

test('where a token of the vocabulary has both characters it is not cut', () => {
  const cuts = new CutPlaces(longestMatch([...characters, 'a b', '\nc']))
  assert.deepEqual(parts(cuts, 'ba bb b.\nb.\nc'), ['ba bb', ' b.\n', 'b.\nc'])
})

test('the first place from an offset on, and the last one', () => {
  const cuts = new CutPlaces(longestMatch(characters))
  assert.deepEqual([cuts.next('a b c', 0, 5), cuts.next('a b c', 2, 5), cuts.next('a b c', 4, 5)], [1, 3, 5])
  assert.deepEqual([cuts.last('a b c'), cuts.last('abc'), cuts.last('')], [3, 0, 0])
})

test('the parts have the tokens of the whole, whatever the vocabulary is', () => {
  const token = fc.string({ unit: fc.constantFrom(...characters), minLength: 2, maxLength: 4 })
  const text = fc.string({ unit: fc.constantFrom(...characters), maxLength: 30 })
  fc.assert(
    fc.property(fc.array(token, { maxLength: 12 }), text, (tokens, text) => {
      const vocab = longestMatch([...characters, ...tokens])
      assert.deepEqual(tokensOfParts(new CutPlaces(vocab), vocab, text), vocab.tokenize(text))
    }),
    { ...replay, numRuns: 500 },
  )
})

for (const { name, skip, load } of vocabularies) {
  test(`the parts have the tokens of the whole: ${name}`, { skip }, async (t) => {
    using model = await load(t)
    const { vocab } = model
    const cuts = new CutPlaces(vocab)
    let count = 0
    fc.assert(
      fc.property(texts(25), (text) => {
        count += parts(cuts, text).length
        assert.deepEqual(tokensOfParts(cuts, vocab, text), vocab.tokenize(text))
      }),
      { ...replay, numRuns: full ? 60 : 15 },
    )
    t.diagnostic(`${count} parts`)
  })
}
