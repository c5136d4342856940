import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { CostProfile } from '../../api/cost-profile.ts'
import { CostModel } from './cost-model.ts'
import { oneBatch } from './microbatches.ts'
import { selectDrafts } from './select-drafts.ts'

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

/** Steps over texts of many lengths, on a machine where attention costs so much per pair. */
function attentive(perPair: { loose: number; tiled: number }, noise = 0): CostModel {
  const cost = new CostModel()
  const base = (rows: number) => 10 + 0.5 * rows
  for (let i = 0; i < 400; i++) {
    const rows = [1, 4, 64, 128][i % 4]!
    const depth = ((i * 7919) % 1000) + rows
    const scatter = 1 + noise * (((i * 104729) % 200) / 100 - 1)
    const pair = rows < 64 ? perPair.loose : perPair.tiled
    cost.observe(0, rows, (base(rows) + pair * rows * depth) * scatter, depth)
  }
  return cost
}
const near = (actual: number, expected: number, share = 0.02) =>
  assert.ok(Math.abs(actual / expected - 1) < share, `${actual} instead of ${expected}`)

test('rows that look back on more cost more, and below a tile they cost more than in one', () => {
  const cost = attentive({ loose: 0.01, tiled: 0.001 })
  near(cost.rows(0, 1, 3000), 10.5 + 30)
  near(cost.rows(0, 4, 500), 12 + 20)
  near(cost.rows(0, 4, 0), 12)
  near(cost.rows(0, 128, 2000), 74 + 256)
})

test('row counts that were never run are judged by the others, with the attention they need themselves', () => {
  const cost = attentive({ loose: 0.01, tiled: 0.001 })
  near(cost.rows(0, 2, 1000), 11 + 20)
  near(cost.rows(0, 9, 1000), 14.5 + 90)
})

test('what was measured long ago over short texts does not make rows look cheap over long ones', () => {
  const cost = new CostModel()
  for (let depth = 0; depth < 100; depth++) cost.observe(0, 8, 14 + 0.08 * depth, depth)
  for (let depth = 100; depth < 2000; depth++) cost.observe(0, 1, 10 + 0.01 * depth, depth)
  near(cost.rows(0, 8, 2000), 14 + 160, 0.05)
  assert.deepEqual(
    selectDrafts([[0.5, 0.5, 0.5]], 1, (_, count) => cost.rows(0, 1 + count, 2000)),
    [0],
  )
})

test('scatter alone is no attention', () => {
  const cost = attentive({ loose: 0, tiled: 0 }, 0.3)
  near(cost.rows(0, 4, 10_000), 12, 0.25)
  near(attentive({ loose: 0.01, tiled: 0.001 }, 0.3).rows(0, 4, 900), 12 + 36, 0.25)
})

test('a few steps are not enough to tell what attention costs', () => {
  const cost = new CostModel()
  cost.observe(0, 1, 10, 100)
  cost.observe(0, 1, 20, 200)
  assert.equal(cost.rows(0, 1, 10_000), 10)
  assert.equal(cost.rows(1, 8, 900), 8, 'nothing is known of this stage')
})

test('a machine that became slower is believed within a hundred steps', () => {
  const cost = measured(...Array.from({ length: 1000 }, (): [number, number] => [1, 10]))
  for (let i = 0; i < 100; i++) cost.observe(0, 1, 20)
  assert.ok(cost.rows(0, 1) > 19)
})

test('a step that was disturbed does not count while few of its width are known', () => {
  for (const few of [
    [500, 16, 17],
    [16, 500, 17],
    [16, 17, 500],
  ]) {
    assert.equal(measured(...few.map((ms): [number, number] => [4, ms])).rows(0, 4), 16)
  }
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

test('most rows within a time: the next one would take longer', () => {
  const runs = fc.array(fc.tuple(fc.integer({ min: 1, max: 512 }), fc.double({ min: 0.1, max: 100, noNaN: true })), {
    maxLength: 6,
  })
  fc.assert(
    fc.property(runs, fc.double({ min: 0, max: 1000, noNaN: true }), (runs, ms) => {
      const cost = measured(...runs)
      const rows = cost.within(0, ms)
      assert.ok(rows >= 1)
      if (rows > 1) assert.ok(cost.rows(0, rows) <= ms)
      if (rows < 2 ** 20 - 1) assert.ok(cost.rows(0, rows + 1) > ms)
    }),
  )
})

test('without a bound any number of rows is within it', () => {
  assert.equal(measured([1, 10]).within(0, Number.POSITIVE_INFINITY), Number.MAX_SAFE_INTEGER)
})

test('a profile that is saved and loaded says the same', () => {
  const cost = measured([1, 10], [4, 16], [7, 30], [8, 40])
  cost.observe(2, 5, 50, 100)
  const other = new CostModel()
  other.load(JSON.parse(JSON.stringify(cost.save())) as CostProfile)
  for (const rows of [1, 2, 4, 6, 8, 100]) assert.equal(other.rows(0, rows), cost.rows(0, rows))
  assert.equal(other.knows(1), false)
  assert.equal(other.rows(2, 5), 50)
  assert.deepEqual(other.save()[2], [{ rows: 5, ms: 50, pairs: 500 }])
})

test('what is measured after a profile was loaded replaces it', () => {
  const cost = new CostModel()
  cost.load([[{ rows: 1, ms: 10 }]])
  for (let i = 0; i < 100; i++) cost.observe(0, 1, 30)
  assert.ok(cost.rows(0, 1) > 28)
})

test('a step that ran in passes says what each of them takes, as far as that is known', () => {
  const cost = measured([8, 16])
  for (let i = 0; i < 100; i++) {
    cost.observeMicrobatches(0, [oneBatch(1)], 9, 0)
    cost.observeMicrobatches(0, [oneBatch(8), oneBatch(1)], 29, 0)
  }
  near(cost.rows(0, 1), 9, 0.05)
  near(cost.rows(0, 8), 20, 0.05)
})

test('many rows, but few of each sequence, cost what loose rows cost, and say nothing about tiles', () => {
  const cost = attentive({ loose: 0.01, tiled: 0.001 })
  const before = cost.rows(0, 128, 1000)
  const many = { rows: 128, each: 16 }
  near(cost.microbatch(0, many, 1000), before + 128 * 0.009 * 1000)
  for (let i = 0; i < 40; i++) cost.observeMicrobatches(0, [many], 74 + 1280, 1000)
  near(cost.rows(0, 128, 1000), before, 0.01)
  const saved = new CostModel()
  saved.load(cost.save())
  assert.equal(saved.rows(0, 128), cost.rows(0, 128))
})
