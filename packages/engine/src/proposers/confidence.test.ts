import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfidenceTable } from './confidence.ts'

test('before anything was counted a probability is taken about at its word', () => {
  const table = new ConfidenceTable()
  for (const raw of [0.05, 0.25, 0.5, 0.8, 0.95, 0.999]) {
    assert.ok(Math.abs(table.calibrated(raw, false) - raw) < 0.11, `${raw}: ${table.calibrated(raw, false)}`)
  }
  assert.ok(table.calibrated(0, false) > 0 && table.calibrated(1, false) < 1)
})

test('what was counted moves tokens of about that probability and of that kind, and no others', () => {
  const table = new ConfidenceTable()
  const before = table.calibrated(0.5, true)
  for (let i = 0; i < 50; i++) table.observe([0.95], false, 0)
  assert.ok(table.calibrated(0.96, false) < 0.1)
  assert.equal(table.calibrated(0.5, true), before)
  assert.ok(table.calibrated(0.95, true) > 0.9)
  assert.ok(table.calibrated(0.8, false) > 0.75)
})

test('tokens behind the first wrong one are not counted', () => {
  const table = new ConfidenceTable()
  const before = table.calibrated(0.25, false)
  for (let i = 0; i < 50; i++) table.observe([0.999, 0.7, 0.25], false, 1)
  assert.ok(table.calibrated(0.999, false) > 0.99)
  assert.ok(table.calibrated(0.7, false) < 0.1)
  assert.equal(table.calibrated(0.25, false), before)
})
