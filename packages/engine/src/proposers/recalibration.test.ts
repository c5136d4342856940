import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Recalibration } from './recalibration.ts'

/** Numbers from 0 to 1, the same for the same seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

const logistic = (x: number) => 1 / (1 + Math.exp(-x))
const logit = (p: number) => Math.log(p / (1 - p))

/** After so many samples whose true survival is another than the calibration says. */
function after(samples: number, truth: (calibrated: number) => number, recalibration = new Recalibration(), seed = 1) {
  const next = random(seed)
  for (let i = 0; i < samples; i++) {
    const calibrated = 0.05 + 0.9 * next()
    recalibration.fade()
    recalibration.observe(calibrated, next() < truth(calibrated))
  }
  return recalibration
}

const steps = [0.1, 0.3, 0.5, 0.7, 0.9, 0.97]
const furthest = (recalibration: Recalibration, truth: (calibrated: number) => number) =>
  Math.max(...steps.map((p) => Math.abs(recalibration.correct(p) - truth(p))))

describe('a recalibration', () => {
  it('begins with the calibration, a little less certain', () => {
    const fresh = new Recalibration()
    for (const p of steps) {
      assert.ok(Math.abs(fresh.correct(p) - 0.5) <= Math.abs(p - 0.5))
      assert.ok(Math.abs(fresh.correct(p) - p) < 0.07, `${p}: ${fresh.correct(p)}`)
    }
  })

  it('rises with what it corrects', () => {
    const learnt = after(300, (p) => p ** 2)
    for (let i = 1; i < steps.length; i++) assert.ok(learnt.correct(steps[i]!) > learnt.correct(steps[i - 1]!))
  })

  for (const [name, truth] of Object.entries({
    'is right': (p: number) => p,
    'says too much': (p: number) => logistic(logit(p) - 1.5),
    'says too little': (p: number) => logistic(logit(p) + 1.5),
    'is too sure': (p: number) => logistic(0.5 * logit(p)),
  })) {
    it(`learns a calibration that ${name}`, () => {
      const learnt = after(500, truth)
      assert.ok(furthest(learnt, truth) < 0.12, `${steps.map((p) => learnt.correct(p).toFixed(2))}`)
    })
  }

  it('follows a change', () => {
    const low = (p: number) => logistic(logit(p) - 2)
    const changed = after(
      500,
      low,
      after(2000, (p) => p),
    )
    assert.ok(furthest(changed, low) < 0.15, `${steps.map((p) => changed.correct(p).toFixed(2))}`)
  })

  it('stays finite and rising, however long the same thing comes', () => {
    for (const right of [true, false]) {
      const one = new Recalibration()
      for (let i = 0; i < 20_000; i++) {
        one.fade()
        one.observe(0.9, right)
      }
      assert.ok(right ? one.correct(0.9) > 0.95 : one.correct(0.9) < 0.15, `${one.correct(0.9)}`)
      assert.ok(one.correct(0) > 0 && one.correct(1) < 1)
      const near = [0.7, 0.8, 0.9, 0.95].map((p) => one.correct(p))
      assert.deepEqual(
        near,
        [...near].sort((a, b) => a - b),
      )
    }
  })
})
