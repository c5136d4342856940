import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { model } from '../../test/fixtures/gguf.ts'
import { full } from '../../test/fixtures/test-size.ts'
import { edited, edits, texts } from '../../test/fixtures/texts.ts'
import { vocabularies } from '../../test/fixtures/vocabularies.ts'
import { replay } from '../../test/replay.ts'
import { Model } from '../llama/model.ts'
import { CutPlaces } from './cut-places.ts'
import { IncrementalTokenizer } from './incremental-tokenizer.ts'

const smol = model('SmolLM2-135M-Instruct.Q4_1.gguf')
const stories = model('stories260K.gguf')
let large: Model
/** It reads the whole vocabulary once. */
let largeCuts: CutPlaces
before(async () => {
  if (smol.skip) return
  large = await Model.load(smol.path)
  largeCuts = new CutPlaces(large.vocab)
})
after(() => large?.[Symbol.dispose]())

for (const { name, skip, load } of vocabularies) {
  test(`after every change the tokens are those of the whole text: ${name}`, { skip }, async (t) => {
    using model = await load(t)
    const { vocab } = model
    const cuts = new CutPlaces(vocab)
    const encode = (text: string) => vocab.tokenize(text)
    fc.assert(
      fc.property(texts(10), texts(30), fc.array(edits, { maxLength: 12 }), (before, first, changes) => {
        // Parts as short as can be: most changes touch the end of one.
        const tokenizer = new IncrementalTokenizer(cuts, encode, before, 1)
        let text = first
        for (const change of [undefined, ...changes]) {
          if (change !== undefined) text = edited(text, change)
          assert.deepEqual(tokenizer.tokens(text), encode(before + text))
        }
      }),
      { ...replay, numRuns: full ? 30 : 8 },
    )
  })
}

test('what was the beginning of the text is tokenised again behind others', { skip: stories.skip }, async () => {
  using model = await Model.load(stories.path)
  const encode = (text: string) => model.vocab.tokenize(text)
  const tokenizer = new IncrementalTokenizer(new CutPlaces(model.vocab), encode, '', 1)
  // SentencePiece puts a space before the beginning of a text.
  for (const text of [' there was', 'Once there was', 'there was', 'Once\nthere was']) {
    assert.deepEqual(tokenizer.tokens(text), encode(text))
  }
})

const line = 'The old man sat by the river and watched the boats go by.\n'

/** How much text is tokenised when a text of 600 lines changes. */
function tokenised(change: (text: string) => string): { characters: number; calls: number } {
  let [characters, calls] = [0, 0]
  const tokenizer = new IncrementalTokenizer(largeCuts, (text) => {
    characters += text.length
    calls++
    return large.vocab.tokenize(text)
  })
  const text = line.repeat(600)
  // A first change in the same place divides what is around it into short parts.
  tokenizer.tokens(text)
  tokenizer.tokens(change(text))
  ;[characters, calls] = [0, 0]
  tokenizer.tokens(change(change(text)))
  return { characters, calls }
}

for (const [where, change] of Object.entries({
  'at the end': (text: string) => `${text}x`,
  'in the middle': (text: string) => `${text.slice(0, 17_000)}x${text.slice(17_000)}`,
  'at the beginning': (text: string) => `x${text}`,
  'by a letter less': (text: string) => text.slice(0, 17_000) + text.slice(17_001),
  'by a line more': (text: string) => text.slice(0, 20 * line.length) + line + text.slice(20 * line.length),
})) {
  test(`a change ${where} costs its own length`, { skip: smol.skip }, () => {
    const { characters, calls } = tokenised(change)
    assert.ok(characters < 500 && calls <= 3, `${characters} characters in ${calls} calls`)
  })
}

test('a text that is as it was costs nothing', { skip: smol.skip }, () => {
  assert.deepEqual(
    tokenised((text) => text),
    { characters: 0, calls: 0 },
  )
})

test('a long new text takes a bounded number of calls', { skip: smol.skip }, () => {
  let calls = 0
  const tokenizer = new IncrementalTokenizer(largeCuts, (text) => {
    calls++
    return large.vocab.tokenize(text)
  })
  tokenizer.tokens(line.repeat(2000))
  assert.ok(calls <= 65, String(calls))
})

test('a list of tokens belongs to the caller', { skip: smol.skip }, () => {
  const tokenizer = new IncrementalTokenizer(largeCuts, (text) => large.vocab.tokenize(text))
  const expected = large.vocab.tokenize(line)
  tokenizer.tokens(line).length = 0
  assert.deepEqual(tokenizer.tokens(line), expected)
})
