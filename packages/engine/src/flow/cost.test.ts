import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bestDraftLength, CostModel } from './cost.ts'

/** A model that measured these runs of stage 0. */
function measured(...runs: [rows: number, ms: number][]): CostModel {
  const cost = new CostModel()
  for (const [rows, ms] of runs) cost.observe(0, rows, ms)
  return cost
}

test('before anything was measured rows cost the same each', () => {
  const cost = new CostModel()
  assert.equal(cost.rows(0, 10), 10 * cost.rows(0, 1))
})

test('what was measured is what it says, straight lines between', () => {
  const cost = measured([1, 10], [4, 16], [8, 40])
  assert.equal(cost.rows(0, 1), 10)
  assert.equal(cost.rows(0, 4), 16)
  assert.equal(cost.rows(0, 2), 12)
  assert.equal(cost.rows(0, 6), 28)
})

test('beyond what was measured it is in proportion, and below not cheaper than the smallest step', () => {
  const cost = measured([4, 16], [8, 40])
  assert.equal(cost.rows(0, 16), 80)
  assert.equal(cost.rows(0, 1), 16)
})

test('stages are measured apart', () => {
  const cost = measured([1, 10])
  cost.observe(2, 1, 30)
  assert.equal(cost.rows(0, 1), 10)
  assert.equal(cost.rows(2, 1), 30)
})

test('a machine that became slower is believed within a hundred steps', () => {
  const cost = measured(...Array.from({ length: 1000 }, (): [number, number] => [1, 10]))
  for (let i = 0; i < 100; i++) cost.observe(0, 1, 20)
  assert.ok(cost.rows(0, 1) > 19)
})

test('one slow step among many does not count for much', () => {
  const cost = measured(...Array.from({ length: 100 }, (): [number, number] => [1, 10]), [1, 100])
  assert.ok(cost.rows(0, 1) < 15)
})

test('estimates stay between the measured ones around them', () => {
  const runs = fc.array(fc.tuple(fc.integer({ min: 1, max: 512 }), fc.double({ min: 0.1, max: 100, noNaN: true })), {
    minLength: 1,
  })
  fc.assert(
    fc.property(runs, fc.integer({ min: 1, max: 1024 }), (runs, rows) => {
      const ms = measured(...runs).rows(0, rows)
      assert.ok(ms >= Math.min(...runs.map(([, ms]) => ms)) * (1 - 1e-9) && Number.isFinite(ms))
    }),
  )
})

/** Tokens per millisecond expected of a step with the first `length` drafts. */
function rate(confidences: readonly number[], length: number, ms: (rows: number) => number): number {
  let expected = 1
  for (let survival = 1, i = 0; i < length; i++) {
    survival *= confidences[i]!
    expected += survival
  }
  return expected / ms(length + 1)
}

test('the draft length is the one with the most tokens per millisecond', () => {
  const confidences = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 })
  const steps = fc.array(fc.double({ min: 0, max: 5, noNaN: true }), { minLength: 9, maxLength: 9 })
  fc.assert(
    fc.property(confidences, steps, (confidences, steps) => {
      const ms = (rows: number) => steps.slice(0, rows).reduce((a, b) => a + b, 1)
      const best = bestDraftLength(confidences, ms)
      const rates = Array.from({ length: confidences.length + 1 }, (_, length) => rate(confidences, length, ms))
      assert.ok(rates[best]! >= Math.max(...rates) * (1 - 1e-12))
      // A longer draft that is no better is not worth its rows.
      assert.equal(rates.indexOf(Math.max(...rates)), best)
    }),
  )
})

test('rows that are free invite every draft, rows at full price none that may fail', () => {
  const confidences = [0.5, 0.5, 0.5]
  assert.equal(
    bestDraftLength(confidences, () => 10),
    3,
  )
  assert.equal(
    bestDraftLength(confidences, (rows) => 10 * rows),
    0,
  )
  assert.equal(
    bestDraftLength([], () => 10),
    0,
  )
})
