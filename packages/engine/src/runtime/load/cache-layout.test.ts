import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  canKeepRows,
  fullAttention,
  recurrentState,
  slidingWindow,
  windowAlone,
} from '../../core/kv/sequence-memory.ts'
import type { Model } from '../../llama/model.ts'
import { cacheLayout, type LayoutOptions, slackCells } from './cache-layout.ts'

/** As far as a layout looks at a model. */
const model = (rest: Partial<Model> = {}) => ({ cellBytes: 1000, window: 0, recurrent: false, ...rest }) as Model
const options: LayoutOptions = {
  contextLength: 1000,
  parallel: 8,
  cells: undefined,
  cache: undefined,
  snapshots: undefined,
  slidingWindow: undefined,
  sizes: { cell: 1000, windowCell: 0, state: 0, snapshots: false },
  states: false,
}

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
  assert.equal(shares({ sizes: { ...options.sizes, cell: 1e12 } }), true)
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

test('as many snapshots as fit into a sixteenth of the memory, and as are wanted', (t) => {
  t.mock.method(process, 'constrainedMemory', () => 12 * 16 * 100)
  // Twelve slots.
  const of = (state: number, snapshots?: number, can = true) =>
    cacheLayout(model({ recurrent: true }), {
      ...options,
      sizes: { cell: 0, windowCell: 0, state, snapshots: can },
      snapshots,
    })
  const layout = of(20)
  assert.equal(layout.slots, 12)
  assert.equal(layout.memory.snapshots, 4)
  assert.equal(layout.bytes, 12 * 5 * 20)
  assert.equal(of(30).memory.snapshots, 2)
  assert.equal(of(100).memory.snapshots, 0)
  assert.equal(of(200).memory.snapshots, 0)
  assert.equal(of(20, 1).memory.snapshots, 1)
  assert.equal(of(20, 0).memory.snapshots, 0)
  assert.equal(of(20, 4, false).memory.snapshots, 0)
})

test('a window for each sequence alone where all rows do not fit, or as one wishes', (t) => {
  const gemma = model({ window: 100 })
  const sizes = { cell: 1000, windowCell: 800, state: 0, snapshots: false }
  const of = (slidingWindow?: 'full' | 'alone', contextLength = 10_000) =>
    cacheLayout(gemma, { ...options, contextLength, sizes, slidingWindow })
  assert.deepEqual(of().memory, slidingWindow(100, true))
  assert.deepEqual(of('alone').memory, windowAlone(100))
  t.mock.method(process, 'constrainedMemory', () => 8 * 5_000_000)
  const small = of()
  assert.deepEqual(small.memory, windowAlone(100))
  assert.equal(small.slots, 12)
  // Twelve windows and a microbatch, in steps of 256 cells.
  assert.equal(small.bytes, small.cells * 200 + 1792 * 800)
  assert.ok(small.bytes - 8 * slackCells * 200 <= 5_000_000)
  assert.deepEqual(of('full').memory, slidingWindow(100, true))
  // Where windows of all slots are more than the context they save nothing.
  assert.deepEqual(of(undefined, 1500).memory, slidingWindow(100, true))
})

test('a cache on a GPU is bounded by the memory there, and not by the machine’s', (t) => {
  t.mock.method(process, 'constrainedMemory', () => 8 * 1000)
  const on = (cacheShare: number, beside: number) =>
    cacheLayout(model({ offload: { layers: 5, devices: [], bytes: 0, mainBytes: 0, cacheShare, beside } }), options)
  const { bytes, memory } = on(1, 1e9)
  assert.equal(memory.sharesCells, false)
  assert.equal(on(1, 1.9 * bytes).memory.sharesCells, true)
  assert.equal(on(1, 2 * bytes).memory.sharesCells, false)
  // Half of it lies in main memory, which is small here.
  assert.equal(on(0.5, 1e9).memory.sharesCells, true)
  // A device that does not say what it has.
  assert.equal(on(1, Number.POSITIVE_INFINITY).memory.sharesCells, true)
})
