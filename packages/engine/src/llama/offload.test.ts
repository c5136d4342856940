import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { temporaryDirectory, tinyModel } from '../../test/fixtures/gguf.ts'
import type { Gguf } from '../gguf/index.ts'
import type { ComputeDevice } from './back-ends.ts'
import { offload } from './offload.ts'

const gib = 2 ** 30

function device(kind: ComputeDevice['kind'], free: number): ComputeDevice {
  return { name: 'D0', description: 'a device', kind, memory: { free, total: free } }
}

/** Four layers of 1 GiB and an output of 1 GiB: sizes are told, not there. */
async function model(t: TestContext): Promise<Gguf> {
  const gguf = await tinyModel(join(await temporaryDirectory(t), 'tiny.gguf'))
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
