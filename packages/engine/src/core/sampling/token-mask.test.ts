import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { allows, maskLogits, maskOf } from './token-mask.ts'

test('a mask holds exactly its tokens', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(99)), fc.integer({ min: 1, max: 100 }), (tokens, vocabulary) => {
      const mask = maskOf(
        tokens.filter((token) => token < vocabulary),
        vocabulary,
      )
      const logits = Float32Array.from({ length: vocabulary }, (_, i) => i)
      maskLogits(logits, mask)
      for (let token = 0; token < vocabulary; token++) {
        assert.equal(allows(mask, token), tokens.includes(token))
        assert.equal(logits[token], tokens.includes(token) ? token : Number.NEGATIVE_INFINITY)
      }
    }),
  )
})

test('without a mask everything is allowed', () => {
  const logits = Float32Array.of(1, 2, 3)
  maskLogits(logits, undefined)
  assert.deepEqual(logits, Float32Array.of(1, 2, 3))
  assert.ok(allows(undefined, 7))
})
