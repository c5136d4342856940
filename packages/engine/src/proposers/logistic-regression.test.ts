import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { logistic } from './log-odds.ts'
import { isWeights, LogisticRegression, type Weights } from './logistic-regression.ts'

/** Numbers from 0 to 1, the same for the same seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const prior: Weights = {
  means: [0, 1, 0],
  precision: [
    [3, 1, 0],
    [1, 13, 0],
    [0, 0, 4],
  ],
}
const asSure = [-2, -0.5, 0, 1, 3].flatMap((x) => [[1, x, 0] as const, [1, x, 1] as const])

type Truth = (x: number, other: number) => number

/** After so many samples of which so much is true. */
function after(samples: number, truth: Truth, one = new LogisticRegression(prior), seed = 1): LogisticRegression {
  const next = random(seed)
  for (let i = 0; i < samples; i++) {
    const [x, other] = [6 * next() - 3, next() < 0.5 ? 1 : 0]
    one.fade()
    one.observe([1, x, other], next() < logistic(truth(x, other)))
  }
  return one
}

const furthest = (one: LogisticRegression, truth: Truth) =>
  Math.max(...asSure.map(([, x, other]) => Math.abs(one.probability([1, x, other]) - logistic(truth(x, other)))))

describe('a regression', () => {
  it('begins with its prior, a little less certain', () => {
    const fresh = new LogisticRegression(prior)
    for (const evidence of asSure) {
      const [given, expected] = [fresh.probability(evidence), logistic(evidence[1])]
      assert.ok(Math.abs(given - 0.5) <= Math.abs(expected - 0.5) + 1e-12)
      assert.ok(Math.abs(given - expected) < 0.1, `${evidence}: ${given}`)
    }
  })

  for (const [name, truth] of Object.entries<Truth>({
    'is the prior': (x) => x,
    'is likelier than it says': (x) => x + 1.5,
    'is less sure': (x) => 0.4 * x,
    'hangs on something else as well': (x, other) => x - 1 + 2 * other,
  })) {
    it(`learns what ${name}`, () => {
      const learnt = after(600, truth)
      assert.ok(furthest(learnt, truth) < 0.15, `${furthest(learnt, truth)}`)
    })
  }

  it('follows a change', () => {
    const low: Truth = (x) => x - 2
    const before = after(2000, (x) => x)
    assert.ok(furthest(before, low) > 0.3)
    assert.ok(furthest(after(600, low, before), low) < 0.15)
  })

  it('gives way to its prior where nothing more is seen', () => {
    const one = after(500, (x) => x + 3)
    for (let i = 0; i < 5000; i++) one.fade()
    const fresh = new LogisticRegression(prior)
    for (const evidence of asSure) {
      assert.ok(Math.abs(one.probability(evidence) - fresh.probability(evidence)) < 1e-3)
    }
  })

  it('keeps a weight above its least value, and stays finite, however long the same thing comes', () => {
    for (const right of [true, false]) {
      const one = new LogisticRegression(prior, { least: [Number.NEGATIVE_INFINITY, 0.1, 0] })
      for (let i = 0; i < 20_000; i++) {
        one.fade()
        one.observe([1, 2, 1], right)
      }
      const [low, high] = [one.probability([1, 2, 1]), one.probability([1, 3, 1])]
      assert.ok(right ? low > 0.9 : low < 0.4, `${low}`)
      assert.ok(high > low && high < 1)
    }
  })

  it('knows what it has saved from other things', () => {
    const learnt = after(50, (x) => x + 1)
    const saved: unknown = JSON.parse(JSON.stringify(learnt))
    assert.equal(new LogisticRegression(prior, {}, saved).probability([1, 1, 1]), learnt.probability([1, 1, 1]))
    const { means, precision } = prior
    const not: Weights['precision'] = precision.map((row) => row.map((value) => -value))
    for (const broken of [
      null,
      1,
      { means },
      { means: [1], precision },
      { means, precision: [1, 2, 3] },
      { means, precision: not },
    ]) {
      assert.equal(isWeights(broken, 3), false)
    }
  })
})
