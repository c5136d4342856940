import assert from 'node:assert/strict'
import { test } from 'node:test'
import { model } from '../../../test/fixtures/gguf.ts'
import { Engine } from '../../engine.ts'
import { architectureOf, type Gguf, readGguf } from '../../gguf/index.ts'
import { offload } from '../../llama/offload.ts'
import { cellsWanted, memoryNeed, requireMemory } from './memory-need.ts'

const { path, skip } = model('stories260K.gguf')
const gibibyte = 2 ** 30

const cellsOf = (gguf: Gguf, wanted: { contextLength?: number; cells?: number }) =>
  cellsWanted(gguf, architectureOf(gguf), wanted)

test('the need is counted from the header', { skip }, async () => {
  const gguf = await readGguf(path)
  const placed = { gguf, offload: undefined }
  const { weights, draft, cache } = memoryNeed(placed, 1000, placed)
  assert.deepEqual([weights, draft, cache], [gguf.size, gguf.size, 1000 * 5 * 4 * (8 + 8) * 2])
  assert.equal(memoryNeed(placed, 1000).draft, 0)
  assert.deepEqual([cellsOf(gguf, { contextLength: 100 }), cellsOf(gguf, { cells: 1000 })], [100, 1000])
  // Never more than the model was trained for.
  assert.equal(cellsOf(gguf, { contextLength: 1e6 }), 512)
})

test('what GPUs take is not needed in main memory', { skip }, async () => {
  const gguf = await readGguf(path)
  const gpu = { name: 'G', description: 'a GPU', kind: 'gpu', memory: { free: 2 ** 30, total: 2 ** 30 } } as const
  const all = { gguf, offload: offload(gguf, [gpu]) }
  const embeddings = gguf.tensors.find(({ name }) => name === 'token_embd.weight')!.bytes
  const { weights, draft, cache } = memoryNeed(all, 1000, all)
  assert.equal(cache, 0)
  // The header and the embeddings stay.
  assert.equal(weights, draft)
  assert(weights >= embeddings && weights < 0.5 * gguf.size, `${weights} of ${gguf.size}`)
})

test('what does not fit is refused with what it would need, and what would help', () => {
  const need = { weights: 8 * gibibyte, draft: gibibyte, cache: 3 * gibibyte }
  assert.doesNotThrow(() => requireMemory(need, 13 * gibibyte))
  assert.throws(() => requireMemory(need, 11 * gibibyte), {
    code: 'context_memory',
    message:
      'this needs 12.1 GiB (8.0 GiB for the model, 1.0 GiB for the model that drafts, 3.0 GiB for the context), ' +
      'and this process may use 11.0 GiB; ask for a smaller context',
  })
  assert.throws(() => requireMemory({ ...need, draft: 0 }, 4 * gibibyte), { message: /use a smaller model$/ })
})

test('an engine is refused before anything is loaded', { skip }, async () => {
  const before = performance.now()
  await assert.rejects(Engine.load(path, { cells: 2 ** 30 }), {
    code: 'context_memory',
    message: /GiB for the context/,
  })
  assert(performance.now() - before < 5000)
})
