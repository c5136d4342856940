import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { schedules, serveMany } from './schedule-plans.ts'

test('any schedule on several devices whose steps overlap and end in any order', () => {
  const devices = [
    [0, 1],
    [0, 0, 1],
    [0, 1, 0],
    [0, 1, 1],
    [0, 1, 2],
    [0, 1, 0, 1],
    [0, 1, 2, 3],
  ]
  const spareCells = fc.constantFrom(0, 3, 20, 60, 300)
  const seen = serveMany(schedules({ devices, spareCells }), 6000)
  const enough = { overlapped: 100_000, finished: 6000, preempted: 300, branchesWon: 800, looks: 3000, cached: 500 }
  for (const [name, least] of Object.entries(enough)) assert.ok(seen[name]! > least, `${name}: ${seen[name]}`)
})
