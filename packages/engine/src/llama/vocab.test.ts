import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { model } from '../../test/fixtures/gguf.ts'
import { Model } from './model.ts'

const { path, skip } = model('SmolLM2-135M-Instruct.Q4_1.gguf')
let smol: Model

before(async () => {
  if (!skip) smol = await Model.load(path)
})
after(() => {
  if (!skip) smol[Symbol.dispose]()
})

/** The text that tokens stand for. */
function text(tokens: readonly number[]): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(tokens.map((t) => smol.vocab.bytesOf(t))))
}

const examples = [
  'The old man sat by the river.',
  '  leading spaces, trailing newline\n\n',
  'naïve café, Ελληνικά, 日本語, עברית',
  'family 👨‍👩‍👧‍👦, flag 🇫🇷, thumb 👍🏽',
  'tab\tand\u00a0hard space\u200bzero width',
  '<|im_end|> as plain text',
]
for (const example of examples) {
  test(`text comes back from its tokens: ${JSON.stringify(example)}`, { skip }, () => {
    assert.equal(text(smol.vocab.tokenize(example)), example)
  })
}

// This vocabulary lacks the bytes that only begin characters of planes without any assigned character.
test('any text comes back from its tokens', { skip }, () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (example) => {
      assert.equal(text(smol.vocab.tokenize(example)), example)
    }),
    { numRuns: 500 },
  )
})

test('special text is a special token only when asked for', { skip }, () => {
  const special = smol.vocab.tokenize('<|im_end|>', { special: true })
  assert.equal(special.length, 1)
  assert.equal(smol.vocab.isEndOfGeneration(special[0]!), true)
  assert.equal(smol.vocab.specialText(special[0]!), '<|im_end|>')
  assert.equal(text(special), '', 'a control token is no text')
  const plain = smol.vocab.tokenize('<|im_end|>')
  assert.ok(plain.length > 1 && !plain.includes(special[0]!))
})

test('text with zero bytes and very long text are tokenized whole', { skip }, () => {
  assert.equal(text(smol.vocab.tokenize('a\0b')), 'a\0b')
  const long = 'word '.repeat(20_000)
  assert.equal(text(smol.vocab.tokenize(long)), long)
})

test('no text, no tokens', { skip }, () => {
  assert.deepEqual(smol.vocab.tokenize(''), [])
})

test('a token outside the vocabulary is refused', { skip }, () => {
  for (const token of [-1, smol.vocab.size, 1.5, Number.NaN]) {
    assert.throws(() => smol.vocab.bytesOf(token), { code: 'invalid_request' }, `${token}`)
  }
  assert.equal(smol.vocab.isEndOfGeneration(-1), false)
})

test('a beginning-of-sequence token comes first where the model wants one', async (t) => {
  const stories = model('stories260K.gguf')
  if (stories.skip) return t.skip(stories.skip)
  using small = await Model.load(stories.path)
  assert.equal(small.vocab.addsBos, true)
  assert.equal(small.vocab.tokenize('Once', { addBos: true })[0], small.vocab.bos)
  assert.notEqual(small.vocab.tokenize('Once')[0], small.vocab.bos)
  assert.deepEqual(small.vocab.tokenize('', { addBos: true }), [small.vocab.bos])
})
