import { test } from 'node:test'
import fc from 'fast-check'
import { schedules, serveMany } from './schedule-plans.ts'

test('any schedule on one device: replies are those of sequential decoding, and nothing is lost, withdrawn or mixed up', async () => {
  const devices = [[0], [0, 0], [0, 0, 0], [0, 0, 0, 0]]
  const spareCells = fc.constantFrom(0, 3, 20, 60, 300)
  await serveMany(schedules({ devices, spareCells }), 8000, { steps: 100_000, finished: 8000 })
})
