import { test } from 'node:test'
import fc from 'fast-check'
import { schedules, serveMany } from './schedule-plans.ts'

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
const verdict = await serveMany(schedules({ devices, spareCells }), 6000, {
  overlapped: 300_000,
  finished: 9000,
  stopped: 2500,
  reentered: 1800,
  preempted: 500,
  cached: 300,
  typedAhead: 200,
  adopted: 1800,
  lookaheads: 1000,
  alternatives: 160,
  accepted: 9000,
  judged: 2500,
  constrained: 1400,
  failedConstraints: 120,
  failedSinks: 120,
})

test('any schedule on several devices whose steps overlap and end in any order', verdict)
