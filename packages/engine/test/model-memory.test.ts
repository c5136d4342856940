import { test } from 'node:test'
import fc from 'fast-check'
import { schedules, serveMany } from './schedule-plans.ts'

test('long replies that run out of memory give way, come back and end as if nothing had happened', async () => {
  const devices = [[0], [0], [0, 0], [0, 1]]
  const spareCells = fc.integer({ min: 20, max: 120 })
  const reply = fc.oneof(fc.integer({ min: 1, max: 10 }), ...[0, 1].map(() => fc.integer({ min: 70, max: 120 })))
  const kind = { devices, spareCells, reply, unified: fc.constant(true) }
  await serveMany(schedules(kind), 2000, { finished: 2000, preempted: 150, resumed: 60 })
})
