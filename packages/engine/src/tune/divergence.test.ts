import assert from 'node:assert/strict'
import { test } from 'node:test'
import { divergence } from './divergence.ts'

const row = (...probabilities: number[]) => Float32Array.from(probabilities.map((p) => Math.log(p)))

test('the divergence of a distribution from itself is 0, however its logits are shifted', () => {
  assert.equal(divergence(row(0.2, 0.3, 0.5), row(0.2, 0.3, 0.5)), 0)
  assert.ok(divergence(Float32Array.of(1, 2, 3), Float32Array.of(101, 102, 103)) < 1e-6)
})

test('it is the sum of p log(p / q), and not that of the other direction', () => {
  const [p, q] = [
    [0.5, 0.5],
    [0.9, 0.1],
  ] as const
  const expected = 0.5 * Math.log(0.5 / 0.9) + 0.5 * Math.log(0.5 / 0.1)
  assert.ok(Math.abs(divergence(row(...p), row(...q)) - expected) < 1e-6)
  assert.ok(Math.abs(divergence(row(...q), row(...p)) - expected) > 0.1)
})

test('what has no probability counts nothing', () => {
  const impossible = Float32Array.of(Number.NEGATIVE_INFINITY, 0, 0)
  assert.ok(Math.abs(divergence(impossible, row(0.5, 0.25, 0.25)) - Math.log(2)) < 1e-6)
})
