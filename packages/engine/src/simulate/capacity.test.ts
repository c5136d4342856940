import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { plainMachine } from '../../test/fixtures/plain-machine.ts'
import { capacityOf, measureCapacity } from './capacity.ts'
import type { MachineProfile } from './profile.ts'
import { machineProfiles } from './profiles.ts'
import { type KindName, Workload } from './workload.ts'

/** Mean lengths of a kind of request on a machine. */
function demandOf(profile: MachineProfile, kind: KindName) {
  const arrivals = { pattern: 'poisson', perSecond: 1 } as const
  const source = new Workload({ mix: { [kind]: 1 }, arrivals, requests: 500, seed: 1 }, profile.context)
  const requests = Array.from({ length: 500 }, () => source.take())
  const mean = (of: (request: (typeof requests)[number]) => number) => requests.reduce((sum, r) => sum + of(r), 0) / 500
  const prompt = mean((request) => request.prompt.length)
  return { prompt, context: prompt, reply: mean((request) => request.reply) }
}

describe('capacity', () => {
  it('is arithmetic: rows of a reply, steps of a round, ms of a step', () => {
    // 8 replies at once, 100 rows of prompt and 11 of reply each: 8 * 110 / 11 = 80 rows a step, 90 ms.
    const rate = capacityOf(plainMachine, { prompt: 100, context: 100, reply: 11 })
    assert.ok(Math.abs(rate - (80 / 110) * (1000 / 90)) < 1e-9, `${rate}`)
  })

  it('is bounded by cells, by rows of a step, and by the slowest device', () => {
    const demand = { prompt: 100, context: 100, reply: 11 }
    const few = { ...plainMachine, cells: 250 }
    assert.ok(capacityOf(few, demand) < capacityOf(plainMachine, demand))
    const narrow = { ...plainMachine, batch: 40 }
    assert.ok(Math.abs(capacityOf(narrow, demand) - (40 / 110) * (1000 / 50)) < 1e-9)
    const stages = {
      costs: [plainMachine.costs[0]!, plainMachine.costs[0]!],
      attention: [0, 1].map(() => plainMachine.attention[0]!),
    }
    const one = capacityOf({ ...plainMachine, ...stages, devices: [0, 0] }, demand)
    const two = capacityOf({ ...plainMachine, ...stages, devices: [0, 1] }, demand)
    assert.ok(Math.abs(two / one - 2) < 1e-9)
  })

  // Without reuse and without bounds that bind, the scheduler should do what arithmetic says.
  const kinds: KindName[] = ['rag', 'translation']
  for (const kind of kinds) {
    for (const name of ['h200-8b', '8xh200-70b']) {
      it(`of ${name} with ${kind} is what the scheduler reaches`, async () => {
        // A fifth of the places, so that the test is short.
        const whole = machineProfiles.find((profile) => profile.name === name)!
        const profile = { ...whole, parallel: 48, keptBytes: 0 }
        const expected = capacityOf(profile, demandOf(profile, kind))
        const measured = await measureCapacity(profile, { mix: { [kind]: 1 }, seed: 1 })
        assert.ok(Math.abs(measured / expected - 1) < 0.15, `${measured} instead of ${expected}`)
      })
    }
  }
})
