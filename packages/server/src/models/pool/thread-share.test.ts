import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ThreadShare } from './thread-share.ts'

function sharers(cores: number, count: number) {
  const share = new ThreadShare(cores)
  const limits = Array.from({ length: count }, () => cores)
  const all = limits.map((_, i) => ({ limitThreads: (most: number) => (limits[i] = most) }))
  for (const one of all) share.add(one)
  return { share, limits, all }
}

test('who computes alone has all cores, and those who rest what they would get', () => {
  const { share, limits, all } = sharers(8, 3)
  assert.deepEqual(limits, [8, 8, 8])
  share.set(all[0]!, true)
  assert.deepEqual(limits, [8, 4, 4])
})

test('those who compute at once share the cores, and never more than there are', () => {
  const { share, limits, all } = sharers(8, 3)
  share.set(all[0]!, true)
  share.set(all[1]!, true)
  assert.deepEqual(limits, [4, 4, 2])
  share.set(all[2]!, true)
  assert.deepEqual(limits, [2, 2, 2])
  share.set(all[0]!, false)
  assert.deepEqual(limits, [2, 4, 4])
})

test('nobody is left without a thread', () => {
  const { share, limits, all } = sharers(2, 3)
  for (const one of all) share.set(one, true)
  assert.deepEqual(limits, [1, 1, 1])
})

test('who leaves gives its part back', () => {
  const { share, limits, all } = sharers(4, 2)
  for (const one of all) share.set(one, true)
  share.remove(all[0]!)
  assert.equal(limits[1], 4)
  share.set(all[0]!, true)
  assert.equal(limits[1], 4)
})
