import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SpeculationGain } from './speculation-gain.ts'

const look = { survival: 0.7, rows: 30, burst: 4 }

/** Milliseconds of so many rows of a stage. */
type Ms = (stage: number, rows: number) => number

function gainOf(ms: Ms, stages = 1, separateCaches = false): SpeculationGain {
  return new SpeculationGain(stages, { rows: ms, microbatch: (stage, { rows }) => ms(stage, rows) }, { separateCaches })
}

const linear = gainOf((_, rows) => rows)
/** A machine that waits for weights: up to 500 rows take the time of one. */
const flat = gainOf((_, rows) => Math.max(500, rows))

test('where every row has its price, a lookahead pays for a long prompt and not for a short one', () => {
  assert.equal(linear.lookaheadPays(look, 400, 1), true)
  assert.equal(linear.lookaheadPays(look, 48, 1), true)
  assert.equal(linear.lookaheadPays(look, 47, 1), false)
})

test('where rows are free a lookahead pays only for prompts of many steps', () => {
  assert.equal(flat.lookaheadPays(look, 500, 1), false)
  assert.equal(flat.lookaheadPays(look, 2800, 1), false)
  assert.equal(flat.lookaheadPays(look, 2900, 1), true)
})

test('a lookahead that is rarely right has to save more, and all stages count', () => {
  assert.equal(linear.lookaheadPays({ ...look, survival: 0.1 }, 300, 1), false)
  const deep = gainOf((stage, rows) => (stage === 0 ? 1 : 3) * rows, 2)
  assert.equal(deep.lookaheadPays(look, 48, 1), true)
  assert.equal(deep.lookaheadPays(look, 47, 1), false)
})

test('a lookahead that holds others up has to be worth their waiting, too', () => {
  assert.equal(linear.lookaheadPays(look, 100, 2), true)
  assert.equal(linear.lookaheadPays(look, 100, 3), false)
})

test('an alternative pays where its chance of saving a step outweighs a row more', () => {
  const gain = gainOf((_, rows) => 10 + rows)
  assert.equal(gain.alternativePays(0.08), false, 'a row costs 1 ms, a step 11')
  assert.equal(gain.alternativePays(0.1), true)
})

test('drafts share a step with others, or take microbatches of their own where caches are separate', () => {
  const ms: Ms = (_, rows) => 10 + rows
  const [shared, separate] = [gainOf(ms), gainOf(ms, 1, true)]
  const plain = [0, 1, 2].map((slot) => ({ slot, rows: 1 }))
  const chains = [{ slot: 1, confidences: [0.9, 0.9] }]
  assert.deepEqual(shared.draftsOfStep(chains, plain, 0), [2])
  assert.deepEqual(separate.draftsOfStep(chains, plain, 0), [0], '3 tokens in 13 ms, or 4.71 in 25')
  const all = plain.map(({ slot }) => ({ slot, confidences: [0.9, 0.9] }))
  assert.deepEqual(separate.draftsOfStep(all, plain, 0), [2, 2, 2], '8.13 in 19 ms')
  // Somebody who does not run in this step has no row there that a draft could follow.
  const alone = [{ slot: 5, confidences: [0.9] }]
  assert.deepEqual(separate.draftsOfStep(alone, plain, 0), [0])
})
