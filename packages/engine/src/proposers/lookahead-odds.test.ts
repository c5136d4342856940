import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type ExpectedToken, LearnedOdds, type SeenToken } from './lookahead-odds.ts'
import { defaultSkimCalibration } from './skim-default.ts'

/** A first token that is so many times as likely as the next best one. */
const seen = (token: number, times: number, before?: number, expected?: ExpectedToken): SeenToken => ({
  before,
  token,
  probability: 0.1,
  second: 0.1 / times,
  expected,
})

describe('the odds of lookaheads', () => {
  it('are those of the calibration at first: surer where the model is, or where two lookaheads agree', () => {
    const odds = new LearnedOdds(defaultSkimCalibration)
    assert.ok(odds.first(seen(1, 20)) > odds.first(seen(1, 2)))
    assert.ok(odds.first(seen(1, 2, 1)) > odds.first(seen(1, 2, 2)))
    assert.ok(odds.later(0.95) > odds.later(0.3))
    assert.ok(odds.usual(undefined) > 0.4 && odds.usual(undefined) < 0.8)
  })

  it('fall where lookaheads are wrong, and rise where they are right', () => {
    const [wrong, right] = [new LearnedOdds(defaultSkimCalibration), new LearnedOdds(defaultSkimCalibration)]
    for (let i = 0; i < 60; i++) {
      wrong.decided([seen(1, 10)], 2)
      right.decided([seen(1, 2)], 1)
    }
    assert.ok(wrong.first(seen(1, 10)) < 0.4)
    assert.ok(right.first(seen(1, 2)) > 0.8)
    assert.ok(wrong.usual(undefined) < 0.5 && right.usual(undefined) > 0.7)
  })

  it('are bounded, where no other word is possible as well', () => {
    const odds = new LearnedOdds(defaultSkimCalibration)
    const sure = odds.first({ ...seen(1, 1), probability: 1, second: 0 })
    assert.ok(sure > 0.5 && sure < 1, `${sure}`)
  })

  it('outlast a token that the model holds for impossible', () => {
    const odds = new LearnedOdds(defaultSkimCalibration)
    for (const second of [0, 0.9]) odds.decided([{ ...seen(1, 1), probability: 0, second }], 2)
    const after = odds.first(seen(1, 10))
    assert.ok(after > 0 && after < 1, `${after}`)
  })

  it('go on where they were saved, and from the beginning where that is broken', () => {
    const odds = new LearnedOdds(defaultSkimCalibration)
    for (let i = 0; i < 9; i++) odds.decided([seen(1, 3), seen(1, 3, 1)], 1)
    const saved = JSON.parse(JSON.stringify(odds))
    const known = (one: LearnedOdds) => [one.first(seen(1, 3)), one.usual(undefined), one.usual(1)]
    assert.deepEqual(known(new LearnedOdds(defaultSkimCalibration, saved)), known(odds))
    const fresh = known(new LearnedOdds(defaultSkimCalibration))
    assert.notDeepEqual(known(odds), fresh)
    for (const broken of [null, 'x', { weights: { means: [1], precision: [[1]] }, first: 'x', further: 2 }]) {
      assert.deepEqual(known(new LearnedOdds(defaultSkimCalibration, broken)), fresh)
    }
  })

  it('are better for what replies to similar prompts begin with, and worse for another word', () => {
    const odds = new LearnedOdds(defaultSkimCalibration)
    const known = (token: number, probability: number) => odds.first(seen(1, 2, undefined, { token, probability }))
    const alone = odds.first(seen(1, 2))
    assert.ok(known(1, 0.9) > known(1, 0.5) && known(1, 0.5) > alone)
    assert.ok(known(2, 0.9) < known(2, 0.5) && known(2, 0.5) < alone)
    assert.equal(known(1, 0.01), alone)
  })

  it('are not forgotten for prompts that nobody looked into', () => {
    const odds = new LearnedOdds(defaultSkimCalibration)
    for (let i = 0; i < 60; i++) odds.decided([seen(1, 10)], 2)
    const learnt = odds.first(seen(1, 10))
    for (let i = 0; i < 2000; i++) odds.decided([], 1)
    assert.equal(odds.first(seen(1, 10)), learnt)
  })
})
