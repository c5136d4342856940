import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { schedules, serveMany } from './schedule-plans.ts'

test('any schedule on one device: replies are those of sequential decoding, and nothing is lost, withdrawn or mixed up', () => {
  const devices = [[0], [0, 0], [0, 0, 0], [0, 0, 0, 0]]
  const spareCells = fc.constantFrom(0, 3, 20, 60, 300)
  const seen = serveMany(schedules({ devices, spareCells }), 8000)
  const enough = { steps: 300_000, finished: 8000, preempted: 500, branchesWon: 1000, looks: 4000, cached: 1000 }
  for (const [name, least] of Object.entries(enough)) assert.ok(seen[name]! > least, `${name}: ${seen[name]}`)
})
