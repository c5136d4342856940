import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { schedules, serveMany } from './schedule-plans.ts'

test('long replies that run out of memory give way, come back and end as if nothing had happened', () => {
  const devices = [[0], [0], [0, 0], [0, 1]]
  const spareCells = fc.integer({ min: 20, max: 120 })
  const reply = fc.oneof(fc.integer({ min: 1, max: 10 }), ...[0, 1].map(() => fc.integer({ min: 70, max: 120 })))
  const seen = serveMany(schedules({ devices, spareCells, reply, unified: fc.constant(true) }), 2000)
  const enough = { finished: 2000, preempted: 150, resumed: 60 }
  for (const [name, least] of Object.entries(enough)) assert.ok(seen[name]! > least, `${name}: ${seen[name]}`)
})
