import assert from 'node:assert/strict'
import { test } from 'node:test'
import { quantizedAs } from './quantization.ts'

test('a quantization names one file, however it is spelt', () => {
  assert.equal(quantizedAs(['m-Q4_K_S.gguf', 'm-Q4_K_M.gguf', 'm-Q8_0.gguf'], 'Q4_K_M'), 'm-Q4_K_M.gguf')
  assert.equal(quantizedAs(['m.q4_k_m.gguf', 'm.q4_k_s.gguf'], 'Q4_K_M'), 'm.q4_k_m.gguf')
  assert.equal(quantizedAs(['m-IQ4_XS.gguf', 'm-Q4_K_M.gguf'], 'Q4_K'), undefined)
  assert.equal(quantizedAs(['gpt-oss-20b-mxfp4.gguf'], 'mxfp4'), 'gpt-oss-20b-mxfp4.gguf')
})

test('of a split model the first part, but rather a model in one file', () => {
  const parts = ['m-q8_0-00002-of-00002.gguf', 'm-q8_0-00001-of-00002.gguf']
  assert.equal(quantizedAs(parts, 'Q8_0'), 'm-q8_0-00001-of-00002.gguf')
  assert.equal(quantizedAs([...parts, 'm-q8_0.gguf'], 'Q8_0'), 'm-q8_0.gguf')
  assert.equal(quantizedAs(['Q8_0/m-Q8_0-00001-of-00002.gguf'], 'Q8_0'), 'Q8_0/m-Q8_0-00001-of-00002.gguf')
})

test('an image projector is no model', () => {
  assert.equal(quantizedAs(['mmproj-m-Q8_0.gguf'], 'Q8_0'), undefined)
})
