import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Acceptances } from './acceptances.ts'
import type { Acceptance } from './proposer.ts'

function observe(acceptance: Acceptance, drafts: number, offered: number, right: number): void {
  for (let i = 0; i < drafts; i++) acceptance.observe(offered, right)
}

test('every class begins at its prior and is one object', () => {
  const acceptances = new Acceptances()
  const lookup = acceptances.of('lookup', 'chat', 0.4)
  assert.equal(lookup.at(0), 0.4)
  assert.equal(acceptances.of('lookup', 'chat', 0.4), lookup)
})

test('proposers, kinds and buckets are judged apart', () => {
  const acceptances = new Acceptances()
  observe(acceptances.of('lookup', 'code', 0.5), 100, 1, 1)
  observe(acceptances.of('lookup', 'chat', 0.5), 100, 1, 0)
  observe(acceptances.of('lookup', 'chat', 0.5, '9+'), 100, 1, 1)
  assert.ok(acceptances.of('lookup', 'code', 0.5).at(0) > 0.9)
  assert.ok(acceptances.of('lookup', 'chat', 0.5).at(0) < 0.1)
  assert.ok(acceptances.of('lookup', 'chat', 0.5, '9+').at(0) > 0.9)
  assert.equal(acceptances.of('prediction', 'chat', 0.5).at(0), 0.5)
})

test('a kind never seen before is judged by the other kinds, until it was seen itself', () => {
  const acceptances = new Acceptances()
  observe(acceptances.of('lookup', 'code', 0.3), 100, 2, 2)
  const chat = acceptances.of('lookup', 'chat', 0.3)
  assert.ok(chat.at(0) > 0.9 && chat.at(1) > 0.9)
  assert.equal(chat.at(2), 0.3)
  observe(chat, 60, 2, 0)
  assert.ok(chat.at(0) < 0.15)
})

test('what was counted survives being saved and loaded, and goes on from there', () => {
  const before = new Acceptances()
  observe(before.of('lookup', 'code', 0.5, '9+'), 30, 4, 3)
  observe(before.of('opening', 'first', 0.5), 30, 1, 1)
  const after = new Acceptances(JSON.parse(JSON.stringify(before)))
  for (let i = 0; i < 5; i++) {
    assert.equal(after.of('lookup', 'code', 0.5, '9+').at(i), before.of('lookup', 'code', 0.5, '9+').at(i))
  }
  assert.equal(after.of('lookup', 'chat', 0.5, '9+').at(0), before.of('lookup', 'chat', 0.5, '9+').at(0))
  // `opening` was not asked for in between.
  const again = new Acceptances(JSON.parse(JSON.stringify(after)))
  assert.equal(again.of('opening', 'first', 0.5).at(0), before.of('opening', 'first', 0.5).at(0))
  observe(after.of('lookup', 'code', 0.5, '9+'), 600, 4, 0)
  assert.ok(after.of('lookup', 'code', 0.5, '9+').at(0) < 0.05)
})

test('a profile that is not one is ignored, entry by entry', () => {
  for (const saved of [undefined, null, 7, 'text', []]) {
    assert.equal(new Acceptances(saved).of('lookup', 'chat', 0.5).at(0), 0.5)
  }
  const saved = {
    'lookup//chat': [[100, 100]],
    'lookup/9+/chat': [[1, 2]],
    'opening//first': [['many', 0]],
    'heads//later': 'none',
    'draft//later': [[Number.NaN, 0]],
  }
  const acceptances = new Acceptances(saved)
  assert.ok(acceptances.of('lookup', 'chat', 0.5).at(0) > 0.9)
  assert.equal(acceptances.of('lookup', 'chat', 0.5, '9+').at(0), 0.5)
  assert.equal(acceptances.of('opening', 'first', 0.5).at(0), 0.5)
  assert.equal(acceptances.of('heads', 'later', 0.5).at(0), 0.5)
  assert.equal(acceptances.of('draft', 'later', 0.5).at(0), 0.5)
})

test('the number of classes is bounded: a kind beyond it shares the statistics of all kinds', () => {
  const acceptances = new Acceptances()
  for (let i = 0; i < 5000; i++) observe(acceptances.of('lookup', `kind ${i}`, 0.5), 1, 1, 1)
  assert.ok(Object.keys(acceptances.toJSON()).length <= 1000)
  assert.ok(acceptances.of('lookup', 'another', 0.5).at(0) > 0.9)
})
