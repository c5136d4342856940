import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PauseDetector } from './pause-detector.ts'

function typed(gapMs: number, count = 40): PauseDetector {
  const rhythm = new PauseDetector()
  for (let i = 0; i < count; i++) rhythm.changed(i * gapMs)
  return rhythm
}

test('a pause is longer than the rhythm: quick typists pause sooner than slow ones', () => {
  assert.ok(typed(30).pauseMs('abc') > 30)
  assert.ok(typed(100).pauseMs('abc') > 100)
  assert.ok(typed(30).pauseMs('abc') < typed(100).pauseMs('abc'))
})

test('a finished sentence needs a shorter pause', () => {
  assert.ok(typed(100).pauseMs('Why?') < typed(100).pauseMs('Why'))
  assert.ok(typed(100).pauseMs('Why?\n') < typed(100).pauseMs('Why'))
})

test('wrong guesses make it more patient, right ones less, and half a second is a pause for everybody', () => {
  const rhythm = typed(60)
  const before = rhythm.pauseMs('abc')
  rhythm.learnt(false)
  const patient = rhythm.pauseMs('abc')
  assert.ok(patient > before)
  for (let i = 0; i < 20; i++) rhythm.learnt(false)
  assert.ok(rhythm.pauseMs('abc') < 500)
  for (let i = 0; i < 20; i++) rhythm.learnt(true)
  assert.ok(rhythm.pauseMs('abc') < before)
})

test('a long silence says nothing about the rhythm', () => {
  const rhythm = typed(50)
  const before = rhythm.pauseMs('abc')
  rhythm.changed(1_000_000)
  assert.equal(rhythm.pauseMs('abc'), before)
})
