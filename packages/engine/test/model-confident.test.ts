import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { schedules, serveMany } from './schedule-plans.ts'

test('tokens that an exit made final stay, and everything after them is what the model says to them', () => {
  const devices = [
    [0, 0],
    [0, 1],
    [0, 0, 0],
    [0, 1, 2],
  ]
  const spareCells = fc.constantFrom(0, 20, 300)
  const seen = serveMany(schedules({ devices, spareCells, confident: fc.nat(4) }), 4000)
  const enough = { finished: 4000, preempted: 100, confident: 1000 }
  for (const [name, least] of Object.entries(enough)) assert.ok(seen[name]! > least, `${name}: ${seen[name]}`)
})
