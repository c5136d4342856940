import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  bytesOf,
  type Checkpoint,
  checkpointBefore,
  checkpointStops,
  defaultCheckpoints,
  withCheckpoint,
} from './checkpoint.ts'

const at = (length: number): Checkpoint => ({ length, states: [{ bytes: 10 }, { bytes: 1 }] })
const lengths = (list: readonly Checkpoint[]) => list.map(({ length }) => length)

test('the last checkpoint at or before a row', () => {
  const list = [at(4), at(9)]
  assert.equal(checkpointBefore(list, 3), undefined)
  assert.equal(checkpointBefore(list, 8)?.length, 4)
  assert.equal(checkpointBefore(list, 9)?.length, 9)
  assert.equal(bytesOf(list), 22)
})

test('they stay in order, one for each length', () => {
  assert.deepEqual(lengths(withCheckpoint([at(4), at(9)], at(9), 8)), [4, 9])
  assert.deepEqual(lengths(withCheckpoint([at(4), at(9)], at(6), 8)), [4, 6, 9])
})

test('of too many the last two stay, and those before thin out towards the beginning', () => {
  let list: readonly Checkpoint[] = []
  for (let length = 100; length <= 10_000; length += 100) list = withCheckpoint(list, at(length), 6)
  assert.equal(list.length, 6)
  assert.deepEqual(lengths(list.slice(-2)), [9900, 10_000])
  const gaps = lengths(list).map((length, i, all) => length - (all[i - 1] ?? 0))
  // The gap before each is the larger the further back it is.
  for (let i = 1; i < gaps.length - 1; i++) assert.ok(gaps[i]! >= gaps[i + 1]!, `${gaps}`)
})

test('however they come, there are never too many, and they are in order', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 })), fc.integer({ min: 2, max: 6 }), (added, most) => {
      let list: readonly Checkpoint[] = []
      for (const length of added) {
        list = withCheckpoint(list, at(length), most)
        assert.ok(list.length <= most)
        assert.equal(list.at(-1)?.length, Math.max(...lengths(list)))
        assert.deepEqual(
          lengths(list),
          [...new Set(lengths(list))].sort((a, b) => a - b),
        )
      }
    }),
  )
})

test('a prompt stops before the last message, before what follows it, and before others as far apart as is said', () => {
  const limits = {
    ...defaultCheckpoints,
    lastRows: 3,
    promptSpacing: 40,
    inputSpacing: 8,
    worthSplitting: 20,
    messageStart: [1, 2],
  }
  /** Messages of so many tokens, and what follows the last one. */
  const prompt = (...messages: number[]) => [
    ...messages.flatMap((length) => [1, 2, ...new Array<number>(length - 2).fill(9)]),
    ...[1, 7, 7],
  ]
  assert.deepEqual(checkpointStops(prompt(30, 30), 0, limits), [30, 60])
  assert.deepEqual(checkpointStops(prompt(30, 20, 20, 20, 20), 0, limits), [30, 70, 90, 110])
  // What is there already is not stopped for, ...
  assert.deepEqual(checkpointStops(prompt(30, 20, 20, 20), 60, limits), [90])
  // ... nor for a few rows.
  assert.deepEqual(checkpointStops(prompt(30, 30, 6), 0, limits), [30, 60])
  assert.deepEqual(checkpointStops(prompt(10, 6), 0, limits), [])
  assert.deepEqual(checkpointStops(prompt(30, 30), 0, { ...limits, messageStart: [] }), [60])
})
