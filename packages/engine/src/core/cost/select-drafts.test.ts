import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { selectDrafts } from './select-drafts.ts'

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
      const lengths = selectDrafts(chains, plain.tokens, (_, count) => ms(plain.rows + count))
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
  const drafts = (chain: number[], ms: (rows: number) => number) =>
    selectDrafts([chain], 1, (_, count) => ms(1 + count))
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
  const drafts = (plain: number) =>
    selectDrafts([[0.9, 0.9], [0.5], [0.85, 0.1]], plain, (_, count) => ms(plain + count))
  assert.deepEqual(drafts(1), [2, 0, 1])
  assert.deepEqual(drafts(4), [0, 0, 0])
})

test('where unequal chains cost more, as many of each are taken', () => {
  // A pass of its own for every length.
  const ms = (lengths: readonly number[]) => 10 * new Set(lengths).size
  assert.deepEqual(selectDrafts([[0.9, 0.9, 0.2], [0.6, 0.5, 0.4], [0.8]], 3, ms), [1, 1, 1])
  assert.deepEqual(
    selectDrafts(
      [
        [0.9, 0.2],
        [0.6, 0.5],
      ],
      2,
      ms,
    ),
    [2, 2],
  )
})
