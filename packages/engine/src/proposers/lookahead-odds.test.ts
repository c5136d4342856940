import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type ExpectedToken, LearnedOdds, type SeenToken } from './lookahead-odds.ts'
import { defaultSkimCalibration } from './skim-default.ts'

const seen = (token: number, probability: number, before?: number, expected?: ExpectedToken): SeenToken => ({
  before,
  token,
  probability,
  expected,
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
      wrong.decided([seen(1, 0.5)], 2)
      right.decided([seen(1, 0.2)], 1)
    }
    assert.ok(wrong.first(seen(1, 0.5)) < 0.4)
    assert.ok(right.first(seen(1, 0.2)) > 0.8)
    assert.ok(wrong.usual(undefined) < 0.5 && right.usual(undefined) > 0.7)
  })

  it('are better for what replies to similar prompts begin with, and worse for another word', () => {
    const odds = new LearnedOdds(defaultSkimCalibration)
    const known = (token: number, probability: number) => odds.first(seen(1, 0.2, undefined, { token, probability }))
    const alone = odds.first(seen(1, 0.2))
    assert.ok(known(1, 0.9) > known(1, 0.5) && known(1, 0.5) > alone)
    assert.ok(known(2, 0.9) < known(2, 0.5) && known(2, 0.5) < alone)
    assert.equal(known(1, 0.01), alone)
  })

  it('are not forgotten for prompts that nobody looked into', () => {
    const odds = new LearnedOdds(defaultSkimCalibration)
    for (let i = 0; i < 60; i++) odds.decided([seen(1, 0.5)], 2)
    const learnt = odds.first(seen(1, 0.5))
    for (let i = 0; i < 2000; i++) odds.decided([], 1)
    assert.equal(odds.first(seen(1, 0.5)), learnt)
  })
})
