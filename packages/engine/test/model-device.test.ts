import { test } from 'node:test'
import fc from 'fast-check'
import { conversations, schedules, serveMany } from './schedule-plans.ts'

// One stage more often: other memories than full attention have no more.
const devices = [[0], [0], [0, 0], [0, 0, 0], [0, 0, 0, 0]]
const spareCells = fc.constantFrom(0, 3, 20, 60, 300)
const verdict = await serveMany(schedules({ devices, spareCells }), 8000, {
  steps: 500_000,
  finished: 14_000,
  stopped: 1500,
  reentered: 2500,
  preempted: 800,
  cached: 600,
  wentBack: 1000,
  rewound: 100,
  typedAhead: 400,
  adopted: 2500,
  lookaheads: 1500,
  alternatives: 160,
  accepted: 12_000,
  judged: 4000,
  constrained: 2000,
  failedConstraints: 160,
  failedSinks: 160,
  scored: 800,
})

test(
  'any schedule on one device: replies are those of sequential decoding, and nothing is lost, withdrawn or mixed up',
  verdict,
)

const goingOn = await serveMany(schedules({ devices: [[0]], spareCells, ...conversations }), 2000, {
  finished: 2000,
  cached: 1000,
  wentOn: 400,
  wentBack: 200,
})

test('whoever goes on from the rows of a request that is over replies as if there had been none', goingOn)
