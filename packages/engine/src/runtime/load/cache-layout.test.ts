import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canKeepRows, fullAttention, recurrentState, slidingWindow } from '../../core/kv/sequence-memory.ts'
import type { Model } from '../../llama/model.ts'
import { cacheLayout, type LayoutOptions } from './cache-layout.ts'

/** As far as a layout looks at a model. */
const model = (rest: Partial<Model> = {}) => ({ cellBytes: 1000, window: 0, recurrent: false, ...rest }) as Model
const options: LayoutOptions = { contextLength: 1000, parallel: 8, cells: undefined, cache: undefined, states: false }

test('the layout does not depend on what is free at the moment', (t) => {
  const quiet = cacheLayout(model(), options)
  assert.equal(quiet.memory.sharesCells, false)
  t.mock.method(process, 'availableMemory', () => 1000)
  assert.deepEqual(cacheLayout(model(), options), quiet)
})

test('a cache for each where many run and the model allows it, one for all otherwise, or as one wishes', () => {
  const shares = (rest: Partial<LayoutOptions>, of = model()) =>
    cacheLayout(of, { ...options, ...rest }).memory.sharesCells
  assert.equal(shares({}), false)
  assert.equal(shares({ parallel: 3 }), true)
  assert.equal(shares({ parallel: 3, cache: 'separate' }), false)
  assert.equal(shares({ cache: 'unified' }), true)
  assert.equal(shares({ cells: 5000 }), true)
  // What a separate cache cannot do, no wish makes possible.
  assert.equal(shares({ states: true, cache: 'separate' }), true)
  assert.equal(shares({}, model({ window: 512 })), true)
  assert.equal(shares({}, model({ cellBytes: 1e12 })), true)
})

test('what a memory can do follows from the model', () => {
  const of = (some: Partial<Model>, wanted = options) => cacheLayout(model(some), wanted)
  assert.deepEqual(of({}).memory, fullAttention(false))
  assert.deepEqual(of({ recurrent: true }).memory, recurrentState(0, true))
  assert.deepEqual(of({ window: 512 }).memory, slidingWindow(512, true))
  // States between stages belong to rows that a copy does not have.
  const staged = of({ window: 512 }, { ...options, states: true })
  assert.equal(canKeepRows(staged.memory), false)
  assert.equal(staged.savedBytes, 0)
  for (const some of [{}, { recurrent: true }, { window: 512 }]) assert.ok(of(some).savedBytes > 0)
  // Every slot has a state of its own, whether it is used or not.
  assert.ok(of({ recurrent: true }).slots < of({ window: 512 }).slots)
})
