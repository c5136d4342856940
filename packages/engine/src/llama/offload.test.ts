import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { temporaryDirectory, tinyModel } from '../../test/fixtures/gguf.ts'
import type { Gguf } from '../gguf/index.ts'
import type { ComputeDevice } from './back-ends.ts'
import { requireContextMemory } from './context-memory.ts'
import { type OffloadOptions, offload } from './offload.ts'

const gib = 2 ** 30

function device(kind: ComputeDevice['kind'], free: number): ComputeDevice {
  return { name: 'D0', description: 'a device', kind, memory: { free, total: free } }
}

/** Four layers of 1 GiB, each with 32 bytes of a cell, and an output of 1 GiB: sizes are told, not there. */
async function model(t: TestContext): Promise<Gguf> {
  const width = { type: 'u32', value: 8 } as const
  const metadata = { 'llama.attention.key_length': width, 'llama.attention.value_length': width }
  const gguf = await tinyModel(join(await temporaryDirectory(t), 'tiny.gguf'), { metadata })
  const seen = new Set<string>()
  const tensors = gguf.tensors.map((tensor) => {
    const part = /^blk\.\d+/.exec(tensor.name)?.[0] ?? (tensor.name === 'output.weight' ? 'output' : undefined)
    if (part === undefined || seen.has(part)) return { ...tensor, bytes: 0 }
    seen.add(part)
    return { ...tensor, bytes: gib }
  })
  return { ...gguf, tensors }
}

test('as many of the last layers run on a GPU as fit into its free memory', async (t) => {
  const gguf = await model(t)
  const layers = (free: number) => offload(gguf, [device('cpu', 64 * gib), device('gpu', free)])?.layers
  assert.equal(layers(0.5 * gib), 0)
  assert.equal(layers(2 * gib), 1)
  assert.equal(layers(3.9 * gib), 3)
  assert.equal(layers(6 * gib), 5)
  assert.equal(layers(600 * gib), 5)
})

test('several GPUs take it together', async (t) => {
  const found = offload(await model(t), [device('gpu', 2 * gib), device('gpu', 3 * gib)])
  assert.equal(found?.layers, 3)
  assert.equal(found?.devices.length, 2)
})

test('a GPU that does not say how much memory it has is given all', async (t) => {
  assert.equal(offload(await model(t), [device('gpu', 0)])?.layers, 5)
})

test('without a GPU nothing is said', async (t) => {
  assert.equal(offload(await model(t), [device('cpu', 64 * gib)]), undefined)
})

test('what stays in main memory, and where the cache lies', async (t) => {
  const gguf = await model(t)
  const none = offload(gguf, [device('gpu', 0.5 * gib)])!
  assert.deepEqual([none.bytes, none.mainBytes, none.cacheShare], [0, gguf.size, 0])
  const half = offload(gguf, [device('gpu', 3.9 * gib)])!
  assert.deepEqual([half.layers, half.bytes, half.cacheShare], [3, 3 * gib, 0.5])
  const all = offload(gguf, [device('gpu', 10 * gib)])!
  assert.equal(all.cacheShare, 1)
  assert.equal(all.beside, 4.25 * gib)
  assert.equal(offload(gguf, [device('gpu', 0)])?.beside, Number.POSITIVE_INFINITY)
})

test('a longer context, or what else needs a place there, leaves fewer layers', async (t) => {
  const gguf = await model(t)
  const layers = (options: OffloadOptions) => offload(gguf, [device('gpu', 6 * gib)], options)?.layers
  assert.equal(layers({ cells: 2 ** 20 }), 5)
  assert.equal(layers({ cells: 2 ** 26 }), 2)
  assert.equal(layers({ reserved: 2 * gib }), 3)
})

test('a context is refused by the memory where its layers are', async (t) => {
  const gguf = await model(t)
  const gpu = (free: number) => [device('cpu', 64 * gib), { ...device('gpu', free), description: 'a small GPU' }]
  const half = offload(gguf, gpu(3.9 * gib))
  const context = { cells: 1000, cache: 4 * gib }
  const room = (available: number, free: number) => () =>
    requireContextMemory(context, half, { available: available * gib, devices: gpu(free * gib) })
  assert.doesNotThrow(room(2.3, 2.3))
  const code = 'context_memory'
  assert.throws(room(2.2, 9), { code, message: /a context of 1000 tokens needs 2.3 GiB, but 2.2 GiB are available/ })
  assert.throws(room(9, 2.2), {
    code,
    message: /needs 2.3 GiB, but 2.2 GiB are free on a small GPU; ask for a smaller/,
  })
  assert.doesNotThrow(() => requireContextMemory(context, undefined, { available: 5 * gib, devices: gpu(0.1) }))
})
