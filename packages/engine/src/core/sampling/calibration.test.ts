import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { calibrate, survivalOf } from './calibration.ts'

const sample = fc.record({ confidence: fc.double({ min: 0, max: 1, noNaN: true }), survived: fc.boolean() })
// Probabilities close to 1 are equal in practice: ties matter.
const coarse = sample.map(({ confidence, survived }) => ({ confidence: Math.round(confidence * 4) / 4, survived }))
const samples = fc.array(fc.oneof(sample, coarse), { maxLength: 200 })

const many = fc.array(fc.oneof(coarse, sample), { minLength: 100, maxLength: 300 })

test('survival rises with confidence, and is never certain', () => {
  fc.assert(
    fc.property(samples, (samples) => {
      const { from, survival } = calibrate(samples)
      assert.equal(from.length, survival.length)
      for (let i = 0; i < from.length; i++) {
        assert.ok(survival[i]! > 0 && survival[i]! < 1)
        if (i > 0) assert.ok(from[i]! > from[i - 1]! && survival[i]! > survival[i - 1]!, `${from} ${survival}`)
      }
    }),
  )
})

test('the order of the samples means nothing', () => {
  fc.assert(
    fc.property(fc.oneof(samples, many), (samples) => {
      assert.deepEqual(calibrate([...samples].reverse()), calibrate(samples))
    }),
  )
})

test('a calibrated confidence is the measured share of survivors', () => {
  const samples = Array.from({ length: 1000 }, (_, i) => {
    const confidence = i < 500 ? 0.3 : 0.8
    return { confidence, survived: i % 10 < 10 * confidence }
  })
  const calibration = calibrate(samples)
  assert.equal(calibration.samples, 1000)
  assert.ok(Math.abs(survivalOf(calibration, 0.3) - 0.3) < 0.01)
  assert.ok(Math.abs(survivalOf(calibration, 0.79) - 0.3) < 0.01)
  assert.ok(Math.abs(survivalOf(calibration, 0.8) - 0.8) < 0.01)
  assert.ok(Math.abs(survivalOf(calibration, 1) - 0.8) < 0.01)
})

test('confidence that misleads is pooled to its mean', () => {
  const samples = Array.from({ length: 400 }, (_, i) => ({ confidence: i / 400, survived: i < 200 }))
  const calibration = calibrate(samples)
  assert.equal(calibration.from.length, 1)
  assert.ok(Math.abs(survivalOf(calibration, 0.99) - 0.5) < 0.01)
})

test('a few lucky samples at the top do not reach 0.9', () => {
  const low = Array.from({ length: 40 }, (_, i) => ({ confidence: 0.2, survived: i % 2 === 0 }))
  const lucky = [0.97, 0.98, 0.99].map((confidence) => ({ confidence, survived: true }))
  assert.ok(survivalOf(calibrate([...low, ...lucky]), 0.99) < 0.9)
})

test('samples of the same confidence survive alike, whichever came first', () => {
  const samples = Array.from({ length: 100 }, (_, i) => ({ confidence: 0.9, survived: i >= 50 }))
  assert.equal(survivalOf(calibrate(samples), 0.9), 0.5)
})

test('a small pool that is always right does not fall below a large one that nearly is', () => {
  const large = Array.from({ length: 390 }, (_, i) => ({ confidence: 0.5 + i / 10_000, survived: i % 30 !== 29 }))
  const small = Array.from({ length: 10 }, () => ({ confidence: 0.99, survived: true }))
  const calibration = calibrate([...large, ...small])
  assert.ok(survivalOf(calibration, 0.99) >= survivalOf(calibration, 0.53))
})

test('a rest of two samples has no pool of its own', () => {
  const samples = Array.from({ length: 12 }, (_, i) => ({ confidence: i / 12, survived: i >= 10 }))
  assert.equal(calibrate(samples).from.length, 1)
})

test('without samples, and below what was measured, nothing is known: 0', () => {
  assert.equal(survivalOf(calibrate([]), 1), 0)
  assert.equal(survivalOf(calibrate([{ confidence: 0.5, survived: true }]), 0.49), 0)
})
