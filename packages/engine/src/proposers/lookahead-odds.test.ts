import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LearnedOdds, type SeenToken } from './lookahead-odds.ts'
import { defaultSkimCalibration } from './skim-default.ts'

const plan = (share: number) => ({ share, forkAt: 100 * share, tailFrom: 90 })
const seen = (token: number, probability: number, before?: number, share = 0.1): SeenToken => ({
  before,
  token,
  probability,
  plan: plan(share),
})

describe('the odds of lookaheads', () => {
  it('are those of the calibration at first: surer where the model is, or where two lookaheads agree', () => {
    const odds = new LearnedOdds(defaultSkimCalibration)
    assert.ok(odds.first(seen(1, 0.5)) > odds.first(seen(1, 0.2)))
    assert.ok(odds.first(seen(1, 0.2, 1)) > odds.first(seen(1, 0.2, 2)))
    assert.ok(odds.later(0.95) > odds.later(0.3))
    assert.ok(odds.usual(undefined) > 0.4 && odds.usual(undefined) < 0.8)
  })

  it('fall where lookaheads are wrong, and rise where they are right', () => {
    const [wrong, right] = [new LearnedOdds(defaultSkimCalibration), new LearnedOdds(defaultSkimCalibration)]
    for (let i = 0; i < 60; i++) {
      wrong.decided([seen(1, 0.5)], 2, 0.9)
      right.decided([seen(1, 0.2)], 1, 0.9)
    }
    assert.ok(wrong.first(seen(1, 0.5)) < 0.4)
    assert.ok(right.first(seen(1, 0.2)) > 0.8)
    assert.ok(wrong.usual(undefined) < 0.5 && right.usual(undefined) > 0.7)
  })

  it('say how often one is sure enough at a place, and expect a little less at an earlier one', () => {
    const odds = new LearnedOdds(defaultSkimCalibration)
    assert.equal(odds.shown(plan(0.06)), odds.shown(plan(0.35)))
    for (let i = 0; i < 40; i++) odds.decided([seen(1, 0.9, undefined, 0.2)], 1, 0.8)
    assert.ok(odds.shown(plan(0.2)) > 0.85)
    assert.ok(odds.shown(plan(0.1)) < odds.shown(plan(0.2)) && odds.shown(plan(0.1)) > 0.75)
    for (let i = 0; i < 40; i++) odds.decided([seen(1, 0.9, undefined, 0.1)], 2, 0.8)
    assert.ok(odds.shown(plan(0.1)) < 0.2)
  })

  it('try again what did not pay, when it was not tried for long', () => {
    const odds = new LearnedOdds(defaultSkimCalibration)
    for (let i = 0; i < 20; i++) odds.decided([seen(1, 0.9)], 2, 0.8)
    const low = odds.shown(plan(0.1))
    for (let i = 0; i < 200; i++) odds.decided([], 2, 0.8)
    assert.ok(low < 0.2 && odds.shown(plan(0.1)) > 0.4)
  })
})
