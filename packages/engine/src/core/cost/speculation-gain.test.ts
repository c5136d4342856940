import assert from 'node:assert/strict'
import { test } from 'node:test'
import { draftsOfStep, lookPays } from './speculation-gain.ts'

const look = { survival: 0.7, rows: 30, burst: 4 }
const linear = { rows: (_stage: number, rows: number) => rows }
/** A machine that waits for weights: up to 500 rows take the time of one. */
const flat = { rows: (_stage: number, rows: number) => Math.max(500, rows) }

test('where every row has its price, a look pays for a long prompt and not for a short one', () => {
  assert.equal(lookPays(look, 400, 1, 1, linear), true)
  assert.equal(lookPays(look, 48, 1, 1, linear), true)
  assert.equal(lookPays(look, 47, 1, 1, linear), false)
})

test('where rows are free a look pays only for prompts of many steps', () => {
  assert.equal(lookPays(look, 500, 1, 1, flat), false)
  assert.equal(lookPays(look, 2800, 1, 1, flat), false)
  assert.equal(lookPays(look, 2900, 1, 1, flat), true)
})

test('a look that is rarely right has to save more, and all stages count', () => {
  assert.equal(lookPays({ ...look, survival: 0.1 }, 300, 1, 1, linear), false)
  const deep = { rows: (stage: number, rows: number) => (stage === 0 ? 1 : 3) * rows }
  assert.equal(lookPays(look, 48, 1, 2, deep), true)
  assert.equal(lookPays(look, 47, 1, 2, deep), false)
})

test('a look that holds others up has to be worth their waiting, too', () => {
  assert.equal(lookPays(look, 100, 2, 1, linear), true)
  assert.equal(lookPays(look, 100, 3, 1, linear), false)
})

test('drafts share a step with others, or take passes of their own where caches are apart', () => {
  const costs = (_: number, { rows }: { rows: number }) => 10 + rows
  const plain = [0, 1, 2].map((slot) => ({ slot, rows: 1 }))
  const chains = [{ slot: 1, confidences: [0.9, 0.9] }]
  assert.deepEqual(draftsOfStep(chains, plain, 1, costs), [2])
  assert.deepEqual(draftsOfStep(chains, plain, 1, costs, true), [0], '3 tokens in 13 ms, or 4.71 in 25')
  const all = plain.map(({ slot }) => ({ slot, confidences: [0.9, 0.9] }))
  assert.deepEqual(draftsOfStep(all, plain, 1, costs, true), [2, 2, 2], '8.13 in 19 ms')
  // Somebody who does not run in this step has no row there that a draft could follow.
  const alone = [{ slot: 5, confidences: [0.9] }]
  assert.deepEqual(draftsOfStep(alone, plain, 1, costs, true), [0])
})
