import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fimFamilies, fimFamily } from '@incipit/engine/api'
import { type FimPrompt, frameOf, plainText, promptText, splitBegun } from './fim-format.ts'

const prompt: FimPrompt = {
  path: 'src/a.ts',
  comment: '//',
  related: [],
  before: 'BEFORE',
  begun: '',
  after: 'AFTER',
}
const related = [{ source: 'src/b.ts', text: 'B' }]

function textFor(model: string, more: Partial<FimPrompt> = {}): string {
  return promptText({ ...prompt, ...more }, fimFamily({ name: model, architecture: '' }))
}

test('the orders of the families', () => {
  assert.equal(textFor('qwen2.5-coder-1.5b'), '<|fim_prefix|>BEFORE<|fim_suffix|>AFTER<|fim_middle|>')
  assert.equal(textFor('Qwen3-Coder-30B-A3B'), '<|fim_prefix|>BEFORE<|fim_suffix|>AFTER<|fim_middle|>')
  assert.equal(textFor('codegemma-2b'), '<|fim_prefix|>BEFORE<|fim_suffix|>AFTER<|fim_middle|>')
  assert.equal(textFor('starcoder2-3b'), '<fim_prefix><fim_suffix>AFTER<fim_middle>BEFORE')
  assert.equal(textFor('granite-3b-code'), '<fim_prefix><fim_suffix>AFTER<fim_middle>BEFORE')
  assert.equal(textFor('santacoder'), '<fim-prefix><fim-suffix>AFTER<fim-middle>BEFORE')
  assert.equal(textFor('deepseek-coder-1.3b'), '<｜fim▁begin｜>BEFORE<｜fim▁hole｜>AFTER<｜fim▁end｜>')
  assert.equal(textFor('Codestral-22B'), '[SUFFIX]AFTER[PREFIX]BEFORE')
  assert.equal(textFor('prelude-nano.Q8_0'), '<|fim_suffix|>AFTER<|fim_prefix|>BEFORE<|fim_middle|>')
})

test('a family is known by the name of a model, else by its architecture', () => {
  assert.equal(fimFamily({ name: 'my-model', architecture: 'starcoder2' })?.name, 'starcoder')
  assert.equal(fimFamily({ name: 'deepseek-coder', architecture: 'llama' })?.name, 'deepseek-coder')
  assert.equal(fimFamily({ name: 'SmolLM2-135M-Instruct', architecture: 'llama' }), undefined)
})

test('other files come first, between the tokens for files where the model has them', () => {
  const files = '<|repo_name|>workspace<|file_sep|>src/b.ts\nB\n<|file_sep|>src/a.ts\n'
  assert.equal(textFor('qwen2.5-coder', { related }), `${files}<|fim_prefix|>BEFORE<|fim_suffix|>AFTER<|fim_middle|>`)
  assert.equal(
    textFor('granite-code', { related }),
    '<fim_prefix><fim_suffix>AFTER<fim_middle>// src/b.ts\nB\n\nBEFORE',
  )
  assert.equal(plainText({ ...prompt, related }), '// src/b.ts\nB\n\nBEFORE')
})

test('in every order but psm, typing changes nothing that stands before or behind the typed text', () => {
  for (const family of fimFamilies) {
    const frame = frameOf(prompt, { order: family.order, ...family.texts })
    const text = frame.after.join('')
    assert.equal(text.includes('AFTER'), family.order === 'psm', family.name)
    assert.ok(!frame.before.join('').includes('BEFORE'), family.name)
  }
})

test('the beginning of a word, with the space before it, is left to the completion', () => {
  assert.deepEqual(splitBegun('const fo'), { before: 'const', begun: ' fo' })
  assert.deepEqual(splitBegun('a.b'), { before: 'a.', begun: 'b' })
  assert.deepEqual(splitBegun('f(\n    '), { before: 'f(\n   ', begun: ' ' })
  assert.deepEqual(splitBegun('f('), { before: 'f(', begun: '' })
  assert.deepEqual(splitBegun('const'), { before: 'const', begun: '' }, 'a prompt is never empty')
})
