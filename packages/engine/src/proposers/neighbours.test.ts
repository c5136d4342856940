import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Neighbours } from './neighbours.ts'

const sentence = (...tokens: number[]) => tokens

test('nothing has no neighbours, and a prompt without anything in common is none', () => {
  const neighbours = new Neighbours(10)
  assert.deepEqual(neighbours.nearest([1, 2, 3], 5), [])
  neighbours.add([7, 8, 9])
  assert.deepEqual(neighbours.nearest([1, 2, 3], 5), [])
  assert.deepEqual(neighbours.nearest([], 5), [])
})

test('the same prompt is nearest, with similarity 1', () => {
  const neighbours = new Neighbours(10)
  neighbours.add(sentence(1, 2, 3, 4, 5))
  const slot = neighbours.add(sentence(1, 2, 3, 6, 7))
  neighbours.add(sentence(6, 7, 8, 9, 1))
  const [first, ...others] = neighbours.nearest(sentence(1, 2, 3, 6, 7), 5)
  assert.equal(first?.slot, slot)
  assert.ok(first.similarity > 0.99)
  assert.equal(others.length, 2)
  assert.ok(others.every(({ similarity }) => similarity > 0 && similarity < 0.8))
})

test('a rare pair in common says more than a frequent one', () => {
  const neighbours = new Neighbours(100)
  const rare = neighbours.add([1, 2, 500, 501])
  for (let i = 0; i < 20; i++) neighbours.add([1, 2, 100 + 2 * i, 101 + 2 * i])
  assert.equal(neighbours.nearest([1, 2, 500, 501, 60], 1)[0]?.slot, rare)
  assert.equal(neighbours.nearest([500, 501, 70, 71], 1)[0]?.slot, rare)
})

test('what most prompts have in common, as a template, makes nobody a neighbour', () => {
  const neighbours = new Neighbours(100)
  for (let i = 0; i < 60; i++) neighbours.add([1, 2, 3, 1000 + 2 * i, 1001 + 2 * i])
  assert.deepEqual(neighbours.nearest([1, 2, 3, 77, 78], 5), [])
})

test('beginning and end of a long prompt are read, not its middle', () => {
  const middle = (from: number) => Array.from({ length: 300 }, (_, i) => from + i)
  const neighbours = new Neighbours(10)
  const task = neighbours.add([1, 2, 3, 4, ...middle(1000), 5, 6])
  neighbours.add([11, 12, ...middle(2000), 15, 16])
  assert.equal(neighbours.nearest([1, 2, 3, 4, ...middle(5000), 7, 8], 5)[0]?.slot, task)
  assert.equal(neighbours.nearest([21, 22, ...middle(6000), 5, 6], 5)[0]?.slot, task)
  assert.deepEqual(neighbours.nearest([...middle(7000), ...middle(1000), ...middle(8000)], 5), [])
})

test('beyond its capacity it is what a new one with the last prompts would be', () => {
  const prompt = fc.array(fc.nat(6), { maxLength: 12 })
  fc.assert(
    fc.property(
      fc.array(prompt, { maxLength: 90 }),
      prompt,
      fc.integer({ min: 1, max: 40 }),
      (prompts, asked, capacity) => {
        const bounded = new Neighbours(capacity)
        for (const prompt of prompts) bounded.add(prompt)
        assert.equal(bounded.size, Math.min(capacity, prompts.length))
        const pairs = (tokens: readonly number[]) => new Set(tokens.slice(1).map((token, i) => `${tokens[i]} ${token}`))
        const wanted = pairs(asked)
        const kept = prompts.map((tokens, i) => ({ tokens, i })).slice(-capacity)
        const inCommon = kept.filter(({ tokens }) => [...pairs(tokens)].some((pair) => wanted.has(pair)))
        const found = bounded.nearest(asked, 1000)
        if (kept.length < 32) {
          assert.deepEqual(
            found.map(({ slot }) => slot).sort((a, b) => a - b),
            inCommon.map(({ i }) => i % capacity).sort((a, b) => a - b),
          )
        }
        for (const [i, { similarity }] of found.entries()) {
          assert.ok(similarity > 0 && similarity <= 1)
          assert.ok(i === 0 || similarity <= found[i - 1]!.similarity)
        }
        assert.deepEqual(bounded.nearest(asked, 3), found.slice(0, 3))
      },
    ),
    { numRuns: 500 },
  )
})
