import assert from 'node:assert/strict'
import { test } from 'node:test'
import { meanDepth, type Rows, rowsOf, type Step } from './sequence.ts'

function step(...rows: [from: number, to: number][]): Step {
  return { stage: 0, rows: rows.map(([from, to]) => ({ from, to }) as Rows) }
}

test('rows of a step, and what each of them looks back on', () => {
  assert.equal(rowsOf(step([0, 10], [100, 101])), 11)
  assert.equal(meanDepth(step([0, 10])), 5)
  assert.equal(meanDepth(step([100, 101])), 100.5)
  assert.equal(meanDepth(step([0, 10], [100, 110])), 55)
})
