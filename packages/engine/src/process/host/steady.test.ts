import assert from 'node:assert/strict'
import { test } from 'node:test'
import { steady } from './steady.ts'

test('a beginning is told at once, and an end when it stays so', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const told: boolean[] = []
  const say = steady((computing) => told.push(computing))
  say(true)
  assert.deepEqual(told, [true])
  for (let key = 0; key < 5; key++) {
    say(false)
    t.mock.timers.tick(50)
    say(true)
  }
  assert.deepEqual(told, [true])
  say(false)
  t.mock.timers.tick(99)
  assert.deepEqual(told, [true])
  t.mock.timers.tick(1)
  assert.deepEqual(told, [true, false])
  say(false)
  t.mock.timers.tick(1000)
  assert.deepEqual(told, [true, false])
})
