import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { blockBits, mostOfBlock, noiseKey, noiseOf } from './noise.ts'

const size = 1 << blockBits

test('no token of a block has more than is said of the block', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.nat(1e6), fc.nat(10_000), (seed, position, block) => {
      const key = noiseKey(seed, position)
      const noise = Array.from({ length: size }, (_, i) => noiseOf(key, block * size + i))
      assert.ok(Math.max(...noise) <= mostOfBlock(key, block))
    }),
    { numRuns: 2000 },
  )
})

test('waiting times of each place in a block, and the shortest of a block, are exponential', () => {
  const runs = 4000
  const places = Array.from({ length: size }, () => ({ sum: 0, squares: 0, first: 0 }))
  let shortest = 0
  for (let position = 0; position < runs; position++) {
    const key = noiseKey(5, position)
    const times = places.map((_, i) => Math.exp(-noiseOf(key, 7 * size + i)))
    const least = Math.min(...times)
    shortest += least
    for (const [i, place] of places.entries()) {
      place.sum += times[i]!
      place.squares += times[i]! ** 2
      if (times[i] === least) place.first++
    }
  }
  const near = (actual: number, expected: number, error: number) =>
    assert.ok(Math.abs(actual - expected) < 4.5 * error, `${actual} instead of ${expected}`)
  // Mean 1, mean square 2 (whose own standard deviation is sqrt(20)), and each place the first as often as the others.
  for (const { sum, squares, first } of places) {
    near(sum / runs, 1, 1 / Math.sqrt(runs))
    near(squares / runs, 2, Math.sqrt(20 / runs))
    near(first / runs, 1 / size, Math.sqrt(1 / size / runs))
  }
  near((shortest / runs) * size, 1, 1 / Math.sqrt(runs))
})

test('two places of a block, and the same place of two blocks, are independent', () => {
  const runs = 4000
  const pairs = [
    [3, 4],
    [0, size - 1],
    [3, size + 3],
  ] as const
  for (const [a, b] of pairs) {
    let product = 0
    for (let position = 0; position < runs; position++) {
      const key = noiseKey(11, position)
      product += (Math.exp(-noiseOf(key, a)) - 1) * (Math.exp(-noiseOf(key, b)) - 1)
    }
    assert.ok(Math.abs(product / runs) < 4.5 / Math.sqrt(runs), `${a}, ${b}: covariance ${product / runs}`)
  }
})
