import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fimPieces } from './fim-text.ts'

const fim = { order: 'psm', prefix: 1, suffix: 2, middle: 3, file: 4 } as const
const qwen = { name: 'Qwen2.5-Coder-0.5B', architecture: 'qwen2', fim }

test('marks of filling in become their tokens', () => {
  assert.deepEqual(fimPieces('<|file_sep|>a.ts\n<|fim_prefix|>x = <|fim_suffix|>\n<|fim_middle|>', qwen), [
    4,
    'a.ts\n',
    1,
    'x = ',
    2,
    '\n',
    3,
  ])
  assert.deepEqual(
    fimPieces('<|fim_prefix|><|fim_suffix|><|fim_middle|>', { ...qwen, fim: { ...fim, begin: 9 } }),
    [9, 1, 2, 3],
  )
})

test('marks of a conversation, and prompts without a gap, stay text', () => {
  assert.deepEqual(fimPieces('<|fim_prefix|><|im_end|><|fim_suffix|>', qwen), [1, '<|im_end|>', 2])
  assert.equal(fimPieces('a <|fim_middle|> b', qwen), undefined)
  assert.equal(fimPieces('<|fim_prefix|>x<|fim_suffix|>', { name: 'Qwen', architecture: 'qwen2' }), undefined)
  assert.equal(fimPieces('<fim_prefix>x<fim_suffix>', qwen), undefined)
})
