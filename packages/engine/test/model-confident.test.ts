import { test } from 'node:test'
import fc from 'fast-check'
import { schedules, serveMany } from './schedule-plans.ts'

const devices = [
  [0, 0],
  [0, 1],
  [0, 0, 0],
  [0, 1, 2],
]
const spareCells = fc.constantFrom(0, 20, 300)
const policy = fc.constantFrom('confident', 'confident', 'tolerant', 'committed', 'provisional')
const verdict = await serveMany(schedules({ devices, spareCells, policy }), 4000, {
  finished: 6500,
  preempted: 280,
  confident: 2500,
  tolerated: 40,
  alternatives: 56,
})

test(
  'tokens that an exit made final or a reader has seen stay, and what follows is what the model says to them',
  verdict,
)
