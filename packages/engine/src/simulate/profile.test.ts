import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { plainMachine } from '../../test/fixtures/plain-machine.ts'
import { parseProfile, rowsMs, stepMs } from './profile.ts'
import { machineProfiles } from './profiles.ts'

/** A step of first rows of prompts, in slots 0, 1, 2 and so on; 0 leaves a slot out. */
function stepOf(lengths: readonly number[]) {
  const rows = lengths.map((length, slot) => ({ slot, from: 0, to: length }))
  return { stage: 0, rows: rows.filter(({ to }) => to > 0) }
}

describe('ms of a step', () => {
  it('is a straight line between two points and beyond the last', () => {
    assert.equal(rowsMs(plainMachine, 0, 1), 11)
    assert.equal(rowsMs(plainMachine, 0, 100), 110)
    assert.equal(rowsMs(plainMachine, 0, 1000), 1010)
  })

  it('is that of the first point for fewer rows', () => {
    const profile = { ...plainMachine, costs: [[{ rows: 4, ms: 20 }]] }
    assert.equal(rowsMs(profile, 0, 1), 20)
    assert.equal(rowsMs(profile, 0, 8), 40)
  })

  it('adds attention: cells that are read once, or pairs that are multiplied, whichever takes longer', () => {
    // Rows 1 to 4 of a prompt see 1 + 2 + 3 + 4 cells.
    const pairs = { ...plainMachine, attention: [{ cellMs: 0, pairMs: 2, loosePairMs: 0 }] }
    assert.equal(stepMs(pairs, stepOf([4])), 14 + 20)
    const cells = { ...plainMachine, attention: [{ cellMs: 10, pairMs: 2, loosePairMs: 0 }] }
    assert.equal(stepMs(cells, stepOf([4])), 14 + 40)
  })

  it('takes loose rows one by one, and a part of a tile as a whole one', () => {
    const tiled = { ...plainMachine, tile: 4, attention: [{ cellMs: 0, pairMs: 2, loosePairMs: 5 }] }
    assert.equal(stepMs(tiled, stepOf([3])), 13 + 5 * (1 + 2 + 3))
    assert.equal(stepMs(tiled, stepOf([6])), 16 + 2 * 8 * 3.5)
  })

  it('counts every pass of separate caches', () => {
    const profile = { ...plainMachine, unified: false }
    assert.equal(stepMs(profile, stepOf([1, 1, 5])), 13 + 14)
    assert.equal(stepMs(plainMachine, stepOf([1, 1, 5])), 17)
  })
})

describe('parseProfile', () => {
  const good = JSON.parse(JSON.stringify(plainMachine)) as Record<string, unknown>
  it('reads what was written', () => assert.deepEqual(parseProfile(JSON.stringify(good)), plainMachine))

  it('reads the profiles that come with incipit', () => {
    for (const profile of machineProfiles) assert.deepEqual(parseProfile(JSON.stringify(profile)), profile)
  })

  const bad: [string, unknown, RegExp][] = [
    ['name', 1, /name must be a text/],
    ['cells', 0, /cells must be a whole number of at least 1/],
    ['cells', 1.5, /cells/],
    ['parallel', 'many', /parallel/],
    ['dollarsPerHour', -1, /dollarsPerHour/],
    ['devices', [], /devices/],
    ['devices', [1], /without gaps/],
    ['costs', [], /costs/],
    ['costs', [[]], /costs/],
    ['costs', [[{ rows: 2, ms: 3 }], [{ rows: 2, ms: 3 }]], /one list per stage/],
    [
      'costs',
      [
        [
          { rows: 2, ms: 3 },
          { rows: 1, ms: 1 },
        ],
      ],
      /rising rows/,
    ],
    ['attention', [{ cellMs: -1, pairMs: 0, loosePairMs: 0 }], /attention/],
    ['exit', true, /one stage/],
    ['unified', 'yes', /true or false/],
  ]
  for (const [param, value, message] of bad) {
    it(`refuses ${param} ${JSON.stringify(value)}`, () => {
      const text = JSON.stringify({ ...good, [param]: value })
      assert.throws(() => parseProfile(text), { code: 'invalid_request', param, message })
    })
  }
  for (const text of ['', '[]', 'null', '{']) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseProfile(text), { code: 'invalid_request' }))
  }
})
