import { test } from 'node:test'
import fc from 'fast-check'
import { schedules, serveMany } from './schedule-plans.ts'

test('any schedule on several devices whose steps overlap and end in any order', async () => {
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
  await serveMany(schedules({ devices, spareCells }), 6000, { overlapped: 50_000, finished: 6000 })
})
