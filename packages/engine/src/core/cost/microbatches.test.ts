import assert from 'node:assert/strict'
import { test } from 'node:test'
import { microbatches } from './microbatches.ts'

const cases: [lengths: number[], expected: number[]][] = [
  [[], []],
  [[7], [7]],
  [[1, 1, 1], [3]],
  // A slot between them that has no rows parts them.
  [
    [1, 0, 1],
    [1, 1],
  ],
  [
    [1, 1, 5],
    [3, 4],
  ],
  [
    [5, 1, 2],
    [3, 4, 1],
  ],
]

for (const [lengths, expected] of cases) {
  test(`rows ${lengths} of slots 0, 1, ... run as ${expected}`, () => {
    const step = lengths.map((rows, slot) => ({ slot, rows }))
    assert.deepEqual(
      microbatches(step).map(({ rows }) => rows),
      expected,
    )
  })
}

test('a pass knows how many rows of each sequence it has', () => {
  const step = [5, 1, 2].map((rows, slot) => ({ slot, rows }))
  assert.deepEqual(
    microbatches(step).map(({ each }) => each),
    [1, 4, 1],
  )
})
