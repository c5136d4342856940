import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fullAttention } from '../core/kv/sequence-memory.ts'
import { PrefixCache } from '../core/schedule/prefix-cache.ts'
import { SequenceTable } from '../core/sequences/sequence-table.ts'
import { inputPrefill } from './input-prefill.ts'
import { InputPrefills } from './input-prefills.ts'

function setUp(slots = 4) {
  const saved = () => ({ bytes: 1 })
  const caches = { remove() {}, share() {}, save: saved, restore() {}, saveCheckpoint: saved, restoreCheckpoint() {} }
  const table = new SequenceTable({ devices: [0], slots, cells: 100, memory: fullAttention(true), caches })
  const costs = { rows: () => 1, within: () => 1 }
  return { table, inputs: new InputPrefills(table, new PrefixCache(table, { costs, bytes: 1000 })) }
}

/** A text that counts how often it is asked what it wants. */
function text(tokens: number[]) {
  const asked = { times: 0 }
  const wanted = () => {
    asked.times++
    return tokens
  }
  return { asked, input: inputPrefill('', { wanted }) }
}

test('a text is asked once per change, also when it has to begin', () => {
  const { inputs } = setUp()
  const { asked, input } = text([1, 2, 3])
  inputs.follow(input)
  inputs.revise(100)
  assert.equal(asked.times, 1)
  assert.deepEqual(input.sequence?.tokens, [1, 2, 3])
  inputs.revise(100)
  assert.equal(asked.times, 1, 'nothing changed')
  inputs.follow(input)
  inputs.follow(input)
  inputs.revise(100)
  assert.equal(asked.times, 2, 'however often it changed')
})

test('a text that has no place is not asked', () => {
  const { inputs } = setUp(2)
  const { asked, input } = text([1, 2, 3])
  inputs.follow(input)
  inputs.revise(100)
  assert.equal(asked.times, 0)
  assert.equal(input.sequence, undefined)
})

test('of a text that does not fit, as much as there is room for is computed', () => {
  const { inputs, table } = setUp()
  const { input } = text(Array.from({ length: 30 }, (_, i) => i))
  inputs.follow(input)
  inputs.revise(20)
  assert.equal(input.sequence?.tokens.length, 20)
  inputs.forget(input)
  assert.equal(table.sequences.size, 0)
})
