import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bucket } from './bucket.ts'

/** How many of `count` attempts succeed. */
function taken(bucket: Bucket, count: number): number {
  return Array.from({ length: count }, () => bucket.take()).filter(Boolean).length
}

test('a burst passes at once, then as many as time brings', () => {
  let now = 0
  const bucket = new Bucket(10, 20, () => now)
  assert.equal(taken(bucket, 30), 20)
  now += 500
  assert.equal(taken(bucket, 30), 5)
  now += 99
  assert.equal(taken(bucket, 30), 0)
  now += 1
  assert.equal(taken(bucket, 30), 1)
})

test('what is not used does not add up beyond the burst', () => {
  let now = 0
  const bucket = new Bucket(10, 20, () => now)
  now += 1_000_000
  assert.equal(taken(bucket, 30), 20)
})
