import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { temporaryDirectory, tinyModel } from '../../../test/fixtures/gguf.ts'
import { type Gguf, GgufStrings } from '../../gguf/index.ts'
import { commonVocabulary } from './common-vocabulary.ts'

async function withTokens(t: TestContext, tokens: readonly string[], kind = 'gpt2'): Promise<Gguf> {
  return tinyModel(join(await temporaryDirectory(t), 'model.gguf'), {
    metadata: {
      'tokenizer.ggml.model': { type: 'string', value: kind },
      'tokenizer.ggml.tokens': { type: 'array', of: 'string', value: GgufStrings.from(tokens) },
    },
  })
}

test('the same tokens are the same vocabulary, whatever the models are', async (t) => {
  const words = ['<s>', 'a', 'Ġb']
  assert.equal(commonVocabulary(await withTokens(t, words), await withTokens(t, words)), 3)
})

test('one vocabulary may be padded longer than the other', async (t) => {
  const short = await withTokens(t, ['<s>', 'a'])
  const long = await withTokens(t, ['<s>', 'a', '[PAD0]', '[PAD1]'])
  assert.equal(commonVocabulary(short, long), 2)
  assert.equal(commonVocabulary(long, short), 2)
  const longer = await withTokens(
    t,
    Array.from({ length: 5000 }, (_, i) => (i === 0 ? '<s>' : 'a')),
  )
  const refused = { code: 'draft_mismatch', message: /5000 tokens instead of 2/ }
  assert.throws(() => commonVocabulary(short, longer), refused)
})

test('one other token is another vocabulary, and the error names it', async (t) => {
  const a = await withTokens(t, ['<s>', 'a', 'b'])
  const b = await withTokens(t, ['<s>', 'a', 'c'])
  assert.throws(() => commonVocabulary(a, b), { code: 'draft_mismatch', message: /token 2 is "c" instead of "b"/ })
})

test('another kind of tokenizer, or none, is another vocabulary', async (t) => {
  const a = await withTokens(t, ['<s>', 'a'])
  const llama = await withTokens(t, ['<s>', 'a'], 'llama')
  assert.throws(() => commonVocabulary(a, llama), { code: 'draft_mismatch', message: /'llama' instead of 'gpt2'/ })
  const none = await tinyModel(join(await temporaryDirectory(t), 'none.gguf'))
  assert.throws(() => commonVocabulary(none, none), { code: 'draft_mismatch', message: /none/ })
})
