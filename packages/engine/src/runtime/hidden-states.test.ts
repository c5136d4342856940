import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HiddenStates } from './hidden-states.ts'

/** States of width 2 whose rows [from, to) are filled with their index. */
function filled(from: number, to: number): HiddenStates {
  const states = new HiddenStates(2)
  fill(states, from, to)
  return states
}

function fill(states: HiddenStates, from: number, to: number, mark = 0): void {
  const room = states.append(from, to)
  assert.equal(room.length, 2 * (to - from))
  for (let row = from; row < to; row++) room.set([row, mark], 2 * (row - from))
}

test('rows come back as they were put, whichever row is the first', () => {
  const states = filled(5, 8)
  assert.deepEqual([states.from, states.end], [5, 8])
  assert.deepEqual([...states.row(5)], [5, 0])
  assert.deepEqual([...states.row(7)], [7, 0])
})

test('rows that are not held, or that leave a gap, are refused', () => {
  const states = filled(5, 8)
  assert.throws(() => states.row(4), RangeError)
  assert.throws(() => states.row(8), RangeError)
  assert.throws(() => states.append(9, 10), RangeError)
  assert.throws(() => states.append(4, 6), RangeError)
})

test('rows from a held one on are replaced', () => {
  const states = filled(0, 6)
  fill(states, 3, 5, 1)
  assert.equal(states.end, 5)
  assert.deepEqual([...states.row(2)], [2, 0])
  assert.deepEqual([...states.row(4)], [4, 1])
})

test('it grows without losing what it holds', () => {
  const states = filled(10, 20)
  fill(states, 20, 400)
  for (let row = 10; row < 400; row++) assert.deepEqual([...states.row(row)], [row, 0])
})

test('appends, rollbacks and releases in any order hold what a plain list would', () => {
  const operation = fc.record({
    kind: fc.constantFrom('append', 'truncate', 'release'),
    at: fc.nat(60),
    rows: fc.nat(40),
  })
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      const states = new HiddenStates(2)
      let rows: { row: number; mark: number }[] = []
      let mark = 0
      for (const { kind, at, rows: count } of operations) {
        const end = rows.at(-1) === undefined ? at : rows.at(-1)!.row + 1
        if (kind === 'append') {
          // At the end, or over the end.
          const from = Math.max(rows[0]?.row ?? at, end - (at % 3))
          fill(states, from, from + count, ++mark)
          rows = rows.filter(({ row }) => row < from)
          for (let row = from; row < from + count; row++) rows.push({ row, mark })
        } else if (kind === 'truncate') {
          states.truncate(at)
          rows = rows.filter(({ row }) => row < at)
        } else {
          states.release(at)
          rows = rows.filter(({ row }) => row >= at)
        }
        for (const { row, mark } of rows) assert.deepEqual([...states.row(row)], [row, mark])
        if (rows.length > 0) assert.deepEqual([states.from, states.end], [rows[0]!.row, rows.at(-1)!.row + 1])
        else assert.equal(states.end, states.from)
      }
    }),
  )
})
