import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { packTexts } from './batches.ts'

test('texts stay whole and in order, and a run takes as many as fit', () => {
  assert.deepEqual(packTexts([3, 4, 3, 8, 10, 1], { tokens: 10, texts: 8 }), [[0, 1, 2], [3], [4], [5]])
  assert.deepEqual(packTexts([1, 1, 1, 1, 1], { tokens: 10, texts: 2 }), [[0, 1], [2, 3], [4]])
  assert.deepEqual(packTexts([], { tokens: 10, texts: 2 }), [])
})

test('no run is larger than it may be, and none of two neighbours would fit into one', () => {
  const property = fc.property(
    fc.array(fc.integer({ min: 1, max: 20 })),
    fc.integer({ min: 20, max: 60 }),
    fc.integer({ min: 1, max: 5 }),
    (lengths, tokens, texts) => {
      const runs = packTexts(lengths, { tokens, texts })
      assert.deepEqual(runs.flat(), [...lengths.keys()])
      const sum = (run: readonly number[]) => run.reduce((total, index) => total + lengths[index]!, 0)
      for (const [i, run] of runs.entries()) {
        assert(sum(run) <= tokens && run.length <= texts)
        const next = runs[i + 1]
        if (next) assert(run.length === texts || sum(run) + lengths[next[0]!]! > tokens)
      }
    },
  )
  fc.assert(property)
})
