import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { replay } from '../../../test/replay.ts'
import { KvCells } from './kv-cells.ts'

const slots = 4
const capacity = 30

/** What is done to the ledger; numbers are taken modulo what is possible. */
type Act =
  | { act: 'grow'; slot: number; by: number; shared: { slot: number; by: number }[] }
  | { act: 'share'; from: number; to: number; by: number }
  | { act: 'remove'; slot: number; base: number }

const slot = fc.nat(slots - 1)
const acts: fc.Arbitrary<Act[]> = fc.array(
  fc.oneof(
    fc.record({
      act: fc.constant('grow' as const),
      slot,
      by: fc.nat(10),
      shared: fc.uniqueArray(fc.record({ slot, by: fc.nat(10) }), { maxLength: 2, selector: ({ slot }) => slot }),
    }),
    fc.record({ act: fc.constant('share' as const), from: slot, to: slot, by: fc.nat(10) }),
    fc.record({ act: fc.constant('remove' as const), slot, base: fc.nat(20) }),
  ),
  { maxLength: 30 },
)

/** The ledger without any cleverness: a cell is an object, and it is in use while any slot has it. */
class Naive {
  readonly held: object[][] = Array.from({ length: slots }, () => [])

  get used(): number {
    return new Set(this.held.flat()).size
  }

  own(slot: number): number {
    const others = new Set(this.held.filter((_, other) => other !== slot).flat())
    return this.held[slot]!.filter((cell) => !others.has(cell)).length
  }
}

for (const unified of [true, false]) {
  test(`any growth, sharing and removal: as counted naively${unified ? '' : ', with a cache for each slot'}`, () => {
    fc.assert(
      fc.property(acts, (acts) => {
        const cells = new KvCells(capacity, slots, unified)
        const naive = new Naive()
        for (const one of acts) {
          if (one.act === 'grow') {
            const held = naive.held[one.slot]!
            const end = held.length + Math.min(one.by, capacity - naive.used)
            // Only slots that hold the same rows so far share further ones.
            const shared = one.shared
              .filter((other) => unified && other.slot !== one.slot && naive.held[other.slot]!.length === held.length)
              .map((other) => ({ slot: other.slot, end: held.length + other.by }))
            cells.grow(one.slot, end, shared)
            for (let position = held.length; position < end; position++) {
              const cell = {}
              held.push(cell)
              for (const other of shared) if (position < other.end) naive.held[other.slot]!.push(cell)
            }
          } else if (one.act === 'share') {
            const from = naive.held[one.from]!
            const to = naive.held[one.to]!
            const free = unified ? capacity : capacity - naive.used
            const end = Math.min(from.length, to.length + Math.min(one.by, free))
            if (end <= to.length) continue
            cells.share(one.from, one.to, end)
            for (let position = to.length; position < end; position++) to.push(unified ? from[position]! : {})
          } else {
            cells.remove(one.slot, one.base)
            naive.held[one.slot]!.splice(one.base)
          }
          assert.equal(cells.used, naive.used)
          assert.equal(cells.free, capacity - naive.used)
          for (let slot = 0; slot < slots; slot++) {
            assert.equal(cells.rows(slot), naive.held[slot]!.length)
            assert.equal(cells.own(slot), naive.own(slot))
          }
        }
        // What was freed can be used again, all of it.
        for (let slot = 0; slot < slots; slot++) cells.remove(slot, 0)
        assert.equal(cells.used, 0)
        cells.grow(0, capacity)
        assert.equal(cells.free, 0)
      }),
      { numRuns: 1000, ...replay },
    )
  })
}

test('more rows than cells are refused', () => {
  const cells = new KvCells(5, 2)
  cells.grow(0, 3)
  assert.throws(() => cells.grow(1, 3), RangeError)
})

test('rows that are there already cost nothing again', () => {
  const cells = new KvCells(5, 2)
  cells.grow(0, 3)
  cells.grow(0, 2)
  cells.grow(0, 3)
  assert.equal(cells.used, 3)
})
