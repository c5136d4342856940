import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { admitDrafts, CostModel, type CostProfile } from './cost.ts'

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

test('rows that look back on more cost more, where that was measured', () => {
  const cost = new CostModel()
  for (const [rows, ms, depth] of [
    [1, 10, 5],
    [8, 20, 100],
    [1, 12, 1000],
    [8, 60, 1000],
  ] as const) {
    cost.observe(0, rows, ms, depth)
  }
  assert.equal(cost.rows(0, 8, 200), 20)
  assert.equal(cost.rows(0, 8, 900), 60)
  assert.equal(cost.rows(0, 1, 1500), 12)
  assert.equal(cost.rows(0, 8), 40, 'any depth')
  assert.equal(cost.rows(0, 8, 500), 40, 'nothing was seen at this depth')
  assert.equal(cost.rows(1, 8, 900), 8, 'nor of this stage')
})

test('what was seen at a depth goes on as the steps of all depths do', () => {
  const cost = new CostModel()
  cost.observe(0, 4, 30, 1000)
  cost.observe(0, 4, 10)
  cost.observe(0, 16, 60)
  // Of all depths 16 rows take three times as long as 4 (20 and 60 ms).
  assert.equal(cost.rows(0, 16, 1000), 90)
})

test('a step without a depth says nothing about any depth', () => {
  const cost = new CostModel()
  cost.observe(0, 1, 10, 1000)
  for (let i = 0; i < 100; i++) cost.observe(0, 1, 50)
  assert.equal(cost.rows(0, 1, 1000), 10)
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
  cost.observe(2, 5, 50)
  const other = new CostModel()
  other.load(JSON.parse(JSON.stringify(cost.save())) as CostProfile)
  for (const rows of [1, 2, 4, 6, 8, 100]) assert.equal(other.rows(0, rows), cost.rows(0, rows))
  assert.equal(other.knows(1), false)
  assert.equal(other.rows(2, 5), 50)
})

test('what is measured after a profile was loaded replaces it', () => {
  const cost = new CostModel()
  cost.load([[{ rows: 1, ms: 10 }]])
  for (let i = 0; i < 100; i++) cost.observe(0, 1, 30)
  assert.ok(cost.rows(0, 1) > 28)
})

/** Tokens per millisecond expected of a step with the first drafts of each chain. */
function rate(
  chains: readonly (readonly number[])[],
  lengths: readonly number[],
  plain: { rows: number; tokens: number },
  ms: (rows: number) => number,
): number {
  let expected = plain.tokens
  let rows = plain.rows
  for (const [chain, length] of lengths.entries()) {
    for (let survival = 1, i = 0; i < length; i++) {
      survival *= chains[chain]![i]!
      expected += survival
    }
    rows += length
  }
  return expected / ms(rows)
}

/** All ways to take a beginning of each chain. */
function choices(chains: readonly (readonly number[])[]): number[][] {
  if (chains.length === 0) return [[]]
  const [first, ...rest] = chains
  return choices(rest).flatMap((lengths) => Array.from({ length: first!.length + 1 }, (_, i) => [i, ...lengths]))
}

test('no other choice of drafts gives more tokens per millisecond, and none as good takes fewer rows', () => {
  const confidence = fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 0.5, 1))
  const chains = fc.array(fc.array(confidence, { maxLength: 4 }), { maxLength: 3 })
  const steps = fc.array(fc.double({ min: 0, max: 5, noNaN: true }), { minLength: 20, maxLength: 20 })
  const plain = fc.record({ rows: fc.integer({ min: 1, max: 5 }), tokens: fc.integer({ min: 1, max: 5 }) })
  fc.assert(
    fc.property(chains, plain, steps, (chains, plain, steps) => {
      const ms = (rows: number) => steps.slice(0, rows).reduce((a, b) => a + b, 1)
      const lengths = admitDrafts(chains, plain.rows, plain.tokens, ms)
      const sum = (lengths: readonly number[]) => lengths.reduce((a, b) => a + b, 0)
      const best = rate(chains, lengths, plain, ms)
      for (const other of choices(chains)) {
        const otherRate = rate(chains, other, plain, ms)
        assert.ok(best >= otherRate * (1 - 1e-12))
        if (sum(other) < sum(lengths)) assert.ok(otherRate <= best * (1 + 1e-12))
      }
    }),
  )
})

test('rows that are free invite every draft, rows at full price none that may fail', () => {
  const confidences = [0.5, 0.5, 0.5]
  const drafts = (chain: number[], ms: (rows: number) => number) => admitDrafts([chain], 1, 1, ms)
  assert.deepEqual(
    drafts(confidences, () => 10),
    [3],
  )
  assert.deepEqual(
    drafts(confidences, (rows) => 10 * rows),
    [0],
  )
  assert.deepEqual(
    drafts([], () => 10),
    [0],
  )
})

test('the surest drafts of all requests go first, and a full step makes them dearer', () => {
  // Four rows cost what one does, every further one as much again.
  const ms = (rows: number) => Math.max(4, rows)
  assert.deepEqual(admitDrafts([[0.9, 0.9], [0.5], [0.85, 0.1]], 1, 1, ms), [2, 0, 1])
  assert.deepEqual(admitDrafts([[0.9, 0.9], [0.5], [0.85, 0.1]], 4, 4, ms), [0, 0, 0])
})
