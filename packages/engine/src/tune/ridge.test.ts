import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fold, Ridge } from './ridge.ts'

function noise(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    return state / 2 ** 31
  }
}

test('recovers the map that made the data', () => {
  const d = 7
  const next = noise(1)
  const truth = Float64Array.from({ length: d * d }, next)
  const ridge = new Ridge(d)
  for (let row = 0; row < 200; row++) {
    const x = Float32Array.from({ length: d }, next)
    const y = new Float32Array(d)
    for (let i = 0; i < d; i++) for (let j = 0; j < d; j++) y[j]! += x[i]! * truth[i * d + j]!
    ridge.add(x, y)
  }
  const found = ridge.solve(1e-9)
  for (let i = 0; i < d * d; i++) assert.ok(Math.abs(found[i]! - truth[i]!) < 1e-4, `entry ${i}`)
})

test('a large lambda shrinks the map towards zero', () => {
  const ridge = new Ridge(2)
  for (let i = 0; i < 10; i++) ridge.add(Float32Array.of(1, i), Float32Array.of(i, 1))
  const loose = ridge.solve(1e-6)
  const tight = ridge.solve(1e3)
  const size = (a: Float64Array) => Math.hypot(...a)
  assert.ok(size(tight) < size(loose) / 100)
})

test('a weighted row counts as that many rows', () => {
  const once = new Ridge(2)
  const thrice = new Ridge(2)
  once.add(Float32Array.of(1, 2), Float32Array.of(3, 4), 3)
  once.add(Float32Array.of(2, -1), Float32Array.of(1, 1))
  for (let i = 0; i < 3; i++) thrice.add(Float32Array.of(1, 2), Float32Array.of(3, 4))
  thrice.add(Float32Array.of(2, -1), Float32Array.of(1, 1))
  assert.deepEqual(once.solve(0.1), thrice.solve(0.1))
})

test('a folded output matrix gives the logits of the mapped state', () => {
  const d = 5
  const next = noise(2)
  const w = Float32Array.from({ length: 3 * d }, next)
  const a = Float64Array.from({ length: d * d }, next)
  const x = Float32Array.from({ length: d }, next)
  const folded = fold(w, a, d)
  for (let r = 0; r < 3; r++) {
    let direct = 0
    let viaFold = 0
    for (let j = 0; j < d; j++) {
      let y = 0
      for (let i = 0; i < d; i++) y += x[i]! * a[i * d + j]!
      direct += w[r * d + j]! * y
      viaFold += folded[r * d + j]! * x[j]!
    }
    assert.ok(Math.abs(direct - viaFold) < 1e-4)
  }
})
