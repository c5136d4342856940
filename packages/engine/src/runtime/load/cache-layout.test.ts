import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Model } from '../../llama/model.ts'
import { cacheLayout, type LayoutOptions, memoryOf } from './cache-layout.ts'

/** As far as a layout looks at a model. */
const model = (rest: Partial<Model> = {}) => ({ cellBytes: 1000, window: 0, rollsBack: true, ...rest }) as Model
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
  assert.equal(memoryOf(model(), true).droppableRows, Number.POSITIVE_INFINITY)
  assert.deepEqual(memoryOf(model({ rollsBack: false }), true), {
    droppableRows: 0,
    forks: 'never',
    copies: false,
    window: 0,
    sharesCells: true,
  })
  assert.equal(cacheLayout(model({ rollsBack: false }), options).savedBytes, 0)
  assert.equal(cacheLayout(model({ window: 512 }), options).savedBytes, 0)
  assert.ok(cacheLayout(model(), options).savedBytes > 0)
})
