import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { LearnedOdds, type SeenToken } from './lookahead-odds.ts'
import { defaultSkimCalibration } from './skim-default.ts'

const seen = (token: number, probability: number, before?: number): SeenToken => ({
  before,
  token,
  probability,
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
})
