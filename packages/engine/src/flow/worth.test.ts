import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lookPays } from './worth.ts'

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
