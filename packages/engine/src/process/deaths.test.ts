import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Deaths } from './deaths.ts'
import { RecentLines } from './recent-lines.ts'

test('the third death within a minute is once too often', () => {
  const deaths = new Deaths()
  assert.deepEqual(
    [0, 30_000, 59_999].map((now) => deaths.another(now)),
    [false, false, true],
  )
  assert(deaths.another(61_000))
})

test('deaths that are far apart count for nothing', () => {
  const deaths = new Deaths()
  for (let now = 0; now < 600_000; now += 30_001) assert(!deaths.another(now))
})

test('the last lines are kept, the oldest first', () => {
  const lines = new RecentLines(3)
  assert.deepEqual(lines.take(), [])
  lines.add('a')
  assert.deepEqual(lines.take(), ['a'])
  for (const line of 'abcde') lines.add(line)
  assert.deepEqual(lines.take(), ['c', 'd', 'e'])
  assert.deepEqual(lines.take(), [])
})
