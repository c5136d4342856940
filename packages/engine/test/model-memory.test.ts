import { test } from 'node:test'
import fc from 'fast-check'
import type { ProposerName } from '../src/api/proposer-names.ts'
import { schedules, serveMany } from './schedule-plans.ts'

const devices = [[0], [0], [0, 0], [0, 1]]
const spareCells = fc.integer({ min: 60, max: 120 })
const reply = fc.oneof(fc.integer({ min: 1, max: 10 }), ...[0, 1].map(() => fc.integer({ min: 130, max: 180 })))
const minTokens = fc.constantFrom(0, 0, 130, 130)
const crowd = {
  requests: 4,
  failing: 8,
  slots: fc.constantFrom(4, 8),
  parallel: fc.constantFrom(3, 6),
  unified: fc.constant(true),
}
const proposers = fc.constantFrom<ProposerName[]>(
  ['lookup'],
  ['lookup', 'draft'],
  ['exit', 'skim', 'lookup', 'prediction'],
)
const kind = { proposers, devices, spareCells, reply, minTokens, ...crowd }
const verdict = await serveMany(schedules(kind), 2000, { finished: 4000, preempted: 400, resumed: 100, crowdedOut: 24 })

test('long replies that run out of memory give way, come back and end as if nothing had happened', verdict)
