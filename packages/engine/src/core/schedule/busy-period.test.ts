import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BusyPeriod } from './busy-period.ts'

function crowd(...others: number[]): BusyPeriod {
  const crowd = new BusyPeriod()
  for (const number of others) crowd.arrived(number)
  return crowd
}

test('requests one after the other hold up nobody else', () => {
  assert.equal(crowd(...new Array<number>(50).fill(0)).delayed(3), 3)
})

test('where half of the requests find others waiting, as many again will come', () => {
  const alternating = Array.from({ length: 400 }, (_, i) => i % 2)
  const delayed = crowd(...alternating).delayed(3)
  assert.ok(delayed > 5.5 && delayed < 6.5, `${delayed}`)
})

test('a crowd is bounded, and forgotten when it is gone', () => {
  const busy = crowd(...new Array<number>(200).fill(7))
  assert.ok(Math.abs(busy.delayed(2) - 20) < 1e-9)
  for (let i = 0; i < 100; i++) busy.arrived(0)
  assert.ok(busy.delayed(2) < 2.1)
})
