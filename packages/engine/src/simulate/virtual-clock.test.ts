import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualClock } from './virtual-clock.ts'

test('what is due happens at its own moment, and time never goes back', () => {
  const due = [0, 3, 3, 10]
  const happened: number[] = []
  const clock: VirtualClock = new VirtualClock(
    () => due[0] ?? Number.POSITIVE_INFINITY,
    () => {
      due.shift()
      happened.push(clock.now)
      // Something new may be due at once.
      if (happened.length === 3) due.unshift(1)
    },
  )
  clock.advance(5)
  assert.deepEqual(happened, [0, 3, 3, 3])
  assert.equal(clock.now, 5)
  clock.advance(2)
  assert.equal(clock.now, 5)
  clock.advance(10)
  assert.deepEqual(happened, [0, 3, 3, 3, 10])
})
