import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Sampling } from '../../api/request.ts'
import { choose, probabilityOf, topK, topProbability } from './sample.ts'

const greedy: Sampling = { temperature: 0, topP: 1, topK: 0, minP: 0, seed: 0 }
const plain: Sampling = { ...greedy, temperature: 1, seed: 7 }

const row = (...logits: number[]) => Float32Array.from(logits)

function softmax(logits: ArrayLike<number>, temperature = 1): number[] {
  const max = Math.max(...Array.from(logits))
  const weights = Array.from(logits, (l) => Math.exp((l - max) / temperature))
  const sum = weights.reduce((a, b) => a + b, 0)
  return weights.map((w) => w / sum)
}

/** The filters by their definitions, on a full sort. `undefined` when rounding decides about a token. */
function naiveKept(logits: Float32Array, s: Sampling): number[] | undefined {
  const eligible = Array.from(logits.keys()).filter((i) => logits[i]! > -Infinity)
  let kept = eligible.sort((a, b) => logits[b]! - logits[a]! || a - b)
  if (s.topK > 0) kept = kept.slice(0, s.topK)
  const p = softmax(kept.map((i) => logits[i]!))
  if (s.topP < 1) {
    let sum = 0
    let count = 0
    while (count < kept.length) {
      sum += p[count++]!
      if (Math.abs(sum - s.topP) < 1e-9) return undefined
      if (sum > s.topP) break
    }
    kept = kept.slice(0, count)
  }
  if (s.minP > 0) {
    if (p.some((q) => Math.abs(q - s.minP * p[0]!) < 1e-9)) return undefined
    kept = kept.filter((_, i) => i === 0 || p[i]! > s.minP * p[0]!)
  }
  return kept
}

function chiSquare(counts: readonly number[], expected: readonly number[]): number {
  const n = counts.reduce((a, b) => a + b, 0)
  return counts.reduce((sum, c, i) => sum + (c - n * expected[i]!) ** 2 / (n * expected[i]!), 0)
}

function countChoices(logits: Float32Array, sampling: Sampling, positions: Iterable<number>): number[] {
  const counts = Array.from(logits, () => 0)
  for (const position of positions) counts[choose(logits, sampling, position)]!++
  return counts
}

const range = (n: number, from = 0) => Array.from({ length: n }, (_, i) => from + i)

// 99.9% quantiles of the chi-square distribution. The noise is a fixed function: a test passes always or never.
const limit7 = 24.32
const limit15 = 37.7
const limit63 = 103.44

const logitRow = fc
  .array(fc.float({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 60 })
  .map((values) => Float32Array.from(values))

test('temperature 0 takes the largest logit, the lowest id on a tie', () => {
  assert.equal(choose(row(1, 3, 2, 3), greedy, 0), 1)
  assert.equal(choose(row(-5, -1), { ...greedy, seed: 9 }, 4), 1)
})

test('temperature 0 ignores the filters', () => {
  assert.equal(choose(row(1, 3, 2), { ...greedy, topK: 2, topP: 0.5, minP: 0.5 }, 3), 1)
})

test('choices over many positions are distributed as the softmax', () => {
  const logits = row(2, 1, 0, 0.5, -1, 1.5, -0.5, 0.2)
  for (const temperature of [0.6, 1, 1.7]) {
    for (const seed of [0, 1, -3, 2 ** 40 + 5]) {
      const counts = countChoices(logits, { ...plain, temperature, seed }, range(20_000))
      assert.ok(chiSquare(counts, softmax(logits, temperature)) < limit7, `T=${temperature} seed=${seed}: ${counts}`)
    }
  }
})

test('choices over many seeds at one position are distributed as the softmax', () => {
  const logits = row(2, 1, 0, 0.5, -1, 1.5, -0.5, 0.2)
  const counts = Array.from(logits, () => 0)
  for (let seed = 0; seed < 20_000; seed++) counts[choose(logits, { ...plain, seed }, 17)]!++
  assert.ok(chiSquare(counts, softmax(logits)) < limit7, String(counts))
})

test('choices at neighbouring positions, and under neighbouring seeds, are independent', () => {
  const logits = row(0, 0, 0, 0)
  const uniform = range(16).map(() => 1 / 16)
  for (const neighbour of ['position', 'seed'] as const) {
    const pairs = range(16).map(() => 0)
    for (let position = 0; position < 40_000; position += 2) {
      const here = choose(logits, plain, position)
      const there =
        neighbour === 'position'
          ? choose(logits, plain, position + 1)
          : choose(logits, { ...plain, seed: plain.seed + 1 }, position)
      pairs[4 * here + there]!++
    }
    assert.ok(chiSquare(pairs, uniform) < limit15, `${neighbour}: ${pairs}`)
  }
})

test('a large vocabulary of equal logits is sampled evenly', () => {
  const logits = new Float32Array(16_384)
  const counts = range(64).map(() => 0)
  for (let position = 0; position < 2_000; position++) counts[choose(logits, plain, position) % 64]!++
  assert.ok(
    chiSquare(
      counts,
      counts.map(() => 1 / 64),
    ) < limit63,
    String(counts),
  )
  const blocks = range(64).map(() => 0)
  for (let position = 2_000; position < 4_000; position++) blocks[choose(logits, plain, position) >> 8]!++
  assert.ok(
    chiSquare(
      blocks,
      blocks.map(() => 1 / 64),
    ) < limit63,
    String(blocks),
  )
})

test('the same logits, sampling and position give the same token, whatever was chosen in between', () => {
  fc.assert(
    fc.property(logitRow, fc.maxSafeInteger(), fc.nat(100_000), logitRow, (logits, seed, position, other) => {
      const sampling = { ...plain, seed, topP: 0.9 }
      const token = choose(logits, sampling, position)
      choose(other, sampling, position + 1)
      topK(other, 5)
      assert.equal(choose(logits.slice(), { ...sampling }, position), token)
    }),
  )
})

test('adding the same constant to all logits changes no choice', () => {
  const logits = row(1, 2, 3, 4, 2, 1)
  const shifted = logits.map((l) => l + 64)
  for (const position of range(200)) assert.equal(choose(shifted, plain, position), choose(logits, plain, position))
})

test('the filters keep exactly what a full sort keeps', () => {
  fc.assert(
    fc.property(
      // Few distinct values, so that ties are common.
      fc.oneof(
        logitRow,
        fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: 60 }).map((a) => Float32Array.from(a)),
      ),
      fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 70 })),
      fc.oneof(fc.constant(1), fc.double({ min: 0.01, max: 0.999, noNaN: true })),
      fc.oneof(fc.constant(0), fc.double({ min: 0.001, max: 1, noNaN: true })),
      (logits, k, topP, minP) => {
        // At this temperature the kept tokens are practically equal, so few positions show every one of them.
        const sampling = { ...plain, temperature: 1e6, topK: k, topP, minP }
        const kept = naiveKept(logits, sampling)
        fc.pre(kept !== undefined)
        const seen = new Set(range(40 * kept.length).map((position) => choose(logits, sampling, position)))
        assert.deepEqual([...seen].sort(ascending), kept.sort(ascending))
      },
    ),
    { numRuns: 600 },
  )
})

test('a filter only removes tokens: a choice it keeps stays the choice', () => {
  fc.assert(
    fc.property(logitRow, fc.nat(1000), fc.double({ min: 0.05, max: 0.99, noNaN: true }), (logits, position, topP) => {
      const sampling = { ...plain, topP }
      const kept = naiveKept(logits, sampling)
      fc.pre(kept !== undefined)
      const free = choose(logits, plain, position)
      const filtered = choose(logits, sampling, position)
      assert.ok(kept.includes(filtered))
      if (kept.includes(free)) assert.equal(filtered, free)
    }),
  )
})

test('the nucleus of a large vocabulary is found without looking at its tail', () => {
  const logits = new Float32Array(100_000).fill(-4)
  for (const token of [99_999, 5, 70_000]) logits[token] = 12
  const seen = new Set(range(100).map((position) => choose(logits, { ...plain, topP: 0.9 }, position)))
  assert.deepEqual([...seen].sort(ascending), [5, 70_000, 99_999])
})

test('min-p at its extremes keeps everything or the best', () => {
  const logits = row(0, 1, 0)
  const all = countChoices(logits, { ...plain, minP: 1e-30 }, range(300))
  assert.ok(all.every((count) => count > 0))
  assert.deepEqual(countChoices(logits, { ...plain, minP: 5 }, range(50)), [0, 50, 0])
})

test('top-p of 0 keeps the best token', () => {
  assert.deepEqual(countChoices(row(0, 1, 0.9), { ...plain, topP: 0 }, range(50)), [0, 50, 0])
})

test('a tiny temperature is greedy without overflow', () => {
  for (const temperature of [1e-30, 5e-324]) {
    assert.deepEqual(countChoices(row(1, 3, 2.9999), { ...plain, temperature }, range(50)), [0, 50, 0])
  }
})

const samplings: Sampling[] = [
  greedy,
  plain,
  { ...plain, topK: 2 },
  { ...plain, topP: 0.99 },
  { ...plain, minP: 0.01 },
  { ...plain, topK: 3, topP: 0.99, minP: 0.01 },
]

test('NaN and -Infinity are never chosen', () => {
  const logits = row(Number.NaN, -Infinity, 0, Number.NaN, 0.5, -Infinity)
  for (const sampling of samplings) {
    const counts = countChoices(logits, sampling, range(200))
    assert.equal(counts[2]! + counts[4]!, 200, JSON.stringify(sampling))
    assert.ok(counts[4]! > 0)
  }
})

test('+Infinity outweighs every finite logit, and several of them share', () => {
  const logits = row(0, Infinity, 100, Infinity)
  for (const sampling of samplings) {
    const counts = countChoices(logits, sampling, range(200))
    assert.equal(counts[1]! + counts[3]!, 200, JSON.stringify(sampling))
    if (sampling.temperature > 0) assert.ok(Math.min(counts[1]!, counts[3]!) > 60, String(counts))
  }
  assert.deepEqual(topProbability(logits), { token: 1, probability: 0.5 })
  assert.equal(probabilityOf(logits, 3), 0.5)
  assert.equal(probabilityOf(logits, 2), 0)
})

test('a row without an eligible token gives token 0', () => {
  for (const logits of [row(-Infinity, -Infinity), row(Number.NaN, -Infinity), row()]) {
    for (const sampling of samplings) assert.equal(choose(logits, sampling, 3), 0)
    assert.deepEqual(topProbability(logits), { token: 0, probability: 0 })
    assert.deepEqual(topK(logits, 3), [])
  }
})

test('topProbability is the maximum of the softmax at any magnitude', () => {
  fc.assert(
    fc.property(logitRow, fc.constantFrom(0, 1e4, -1e4), (logits, shift) => {
      const moved = logits.map((l) => l + shift)
      const p = softmax(moved)
      const { token, probability } = topProbability(moved)
      assert.equal(token, moved.indexOf(Math.max(...moved)))
      assert.ok(Math.abs(probability - p[token]!) < 1e-9)
    }),
  )
})

test('topK lists the best tokens with their share of the whole vocabulary', () => {
  fc.assert(
    fc.property(logitRow, fc.integer({ min: 1, max: 70 }), (logits, k) => {
      const p = softmax(logits)
      const best = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b)
      const found = topK(logits, k)
      assert.deepEqual(
        found.map((entry) => entry.token),
        best.slice(0, k),
      )
      for (const { token, probability } of found) assert.ok(Math.abs(probability - p[token]!) < 1e-9)
      for (const { token, probability } of found) assert.equal(probabilityOf(logits, token), probability)
    }),
  )
})

test('probabilityOf is 0 outside the vocabulary', () => {
  assert.equal(probabilityOf(row(1, 2), 2), 0)
  assert.equal(probabilityOf(row(1, 2), -1), 0)
})

function ascending(a: number, b: number): number {
  return a - b
}
