import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ThreadGovernor } from './thread-governor.ts'

/** A governor that knows a step of 1 row takes 10 ms on one thread. */
function measured(): ThreadGovernor {
  const governor = new ThreadGovernor(4)
  governor.observe(0, 1, 10, 1, 0)
  return governor
}

test('a quiet machine uses all threads', () => {
  const governor = measured()
  for (let now = 0; now < 10_000; now += 5) {
    assert.equal(governor.threads(now), 4)
    governor.observe(0, 1, 4, 4, now)
  }
})

test('a step that is a little slow is noise', () => {
  const governor = measured()
  for (let now = 0; now < 5_000; now += 20) {
    assert.equal(governor.threads(now), 4)
    governor.observe(0, 1, 20, 4, now)
  }
})

test('one slow step is chance, two in a row are a busy machine', () => {
  const governor = measured()
  governor.observe(0, 1, 500, 4, 100)
  assert.equal(governor.threads(101), 4)
  governor.observe(0, 1, 4, 4, 105)
  governor.observe(0, 1, 500, 4, 700)
  assert.equal(governor.threads(701), 4)
  governor.observe(0, 1, 500, 4, 1300)
  assert.equal(governor.threads(1301), 1)
})

test('it tries all threads again, less and less often while the machine stays busy', () => {
  const governor = measured()
  let now = 0
  let slow = 0
  while (now < 120_000) {
    const threads = governor.threads(now)
    const ms = threads === 1 ? 10 : 500
    if (threads > 1) slow++
    now += ms
    governor.observe(0, 1, ms, threads, now)
  }
  assert.ok(slow >= 4, 'it tried again')
  assert.ok(slow < 40, `${slow} slow steps in two minutes`)
  // Quiet again: after the penalty it stays with all threads.
  now += 20_000
  for (let i = 0; i < 100; i++) {
    assert.equal(governor.threads(now), 4)
    now += 4
    governor.observe(0, 1, 4, 4, now)
  }
})

test('a fatal step is to be stopped, but never one on a single thread', () => {
  const governor = measured()
  const patience = governor.patienceMs(0, 1, 4)
  assert.ok(patience !== undefined && patience > 20 && patience < 200, `${patience} ms`)
  assert.equal(governor.patienceMs(0, 1, 1), undefined)
  governor.useOneThread(1000)
  assert.equal(governor.threads(1001), 1)
})

test('without a measurement of one thread nothing is judged', () => {
  const governor = new ThreadGovernor(4)
  for (let i = 0; i < 5; i++) governor.observe(0, 1, 1e6, 4, i)
  assert.equal(governor.threads(10), 4)
})

test('others may want a part of the threads', () => {
  const governor = measured()
  governor.most = 2
  assert.equal(governor.threads(0), 2)
  governor.most = 8
  assert.equal(governor.threads(0), 4)
  governor.useOneThread(0)
  assert.equal(governor.threads(1), 1)
})

test('what disturbs now and then costs a moment each time, and not more from time to time', () => {
  const governor = measured()
  let alone = 0
  for (let now = 0; now < 120_000; ) {
    // Every two seconds all threads are disturbed twice in a row.
    const disturbed = now % 2000 < 130
    const threads = governor.threads(now)
    const ms = threads === 1 ? 10 : disturbed ? 60 : 4
    if (threads === 1) alone += ms
    now += ms
    governor.observe(0, 1, ms, threads, now)
  }
  assert.ok(alone > 1000 && alone < 0.4 * 120_000, `${alone} ms on one thread`)
})
