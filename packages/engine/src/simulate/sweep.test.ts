import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { plainMachine } from '../../test/fixtures/plain-machine.ts'
import { full } from '../../test/fixtures/test-size.ts'
import { sweep } from './sweep.ts'
import { sweepTable } from './table.ts'

const options = {
  mix: { chat: 1 },
  requests: 150,
  seed: 1,
  coverage: 1,
  policy: 'committed',
  minStability: 0.9,
  loads: [0.2, 0.8],
  acceptances: [0.3, 0.9],
} as const

describe('a sweep', async () => {
  // Further rows are free up to 64: a machine that waits for its weights.
  const points = [
    { rows: 1, ms: 20 },
    { rows: 64, ms: 21 },
    { rows: 512, ms: 168 },
  ]
  const profile = { ...plainMachine, costs: [points] }
  const result = await sweep(profile, options)

  it('has a row per load and a cell per acceptance', () => {
    assert.deepEqual(
      result.rows.map(({ load, cells }) => [load, ...cells.map(({ acceptance }) => acceptance)]),
      [
        [0.2, 0.3, 0.9],
        [0.8, 0.3, 0.9],
      ],
    )
    const [off] = result.capacities
    for (const { load, perSecond } of result.rows) assert.equal(perSecond, load * off!.repliesPerSecond)
  })

  it('finds that guesses that are mostly right pay where rows are free, and make more of the machine', () => {
    for (const { cells } of result.rows) {
      assert.ok(cells[1]!.pays)
      assert.ok(cells[1]!.replyRatio < cells[0]!.replyRatio)
      assert.ok(cells[1]!.replyRatio < 0.5)
    }
    const [off, , best] = result.capacities
    assert.ok(best!.repliesPerSecond > 1.2 * off!.repliesPerSecond)
    assert.ok(best!.dollarsPer1000 < off!.dollarsPer1000)
  })

  it('finds that poor guesses pay nowhere where every row costs as much as the last', async () => {
    const even = {
      ...plainMachine,
      costs: [
        [
          { rows: 1, ms: 5 },
          { rows: 512, ms: 2560 },
        ],
      ],
    }
    const { rows } = await sweep(even, { ...options, loads: full ? [0.2, 0.5] : [0.5], acceptances: [0.3] })
    for (const { cells } of rows) assert.equal(cells[0]!.pays, false)
  })

  it('prints as tables', () => {
    const text = sweepTable(profile, result)
    assert.match(text, /^\| load \| off \| 0\.3 \| 0\.9 \|$/m)
    assert.match(text, /^\| 20% \(.*\*\*pays\*\* \|$/m)
    assert.match(text, /^\| 0\.9 \| \d/m)
  })
})
