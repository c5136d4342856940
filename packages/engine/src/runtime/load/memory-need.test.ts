import assert from 'node:assert/strict'
import { test } from 'node:test'
import { model } from '../../../test/fixtures/gguf.ts'
import { Engine } from '../../engine.ts'
import { readGguf } from '../../gguf/index.ts'
import { memoryNeed, requireMemory } from './memory-need.ts'

const { path, skip } = model('stories260K.gguf')
const gibibyte = 2 ** 30

test('the need is counted from the header', { skip }, async () => {
  const gguf = await readGguf(path)
  const { weights, draft, cache } = memoryNeed(gguf, { cells: 1000 }, 5)
  assert.deepEqual([weights, draft, cache], [gguf.size, 5, 1000 * 5 * 4 * (8 + 8) * 2])
  assert.equal(memoryNeed(gguf, { contextLength: 100 }, 0).cache, cache / 10)
  // Never more than the model was trained for.
  assert.equal(memoryNeed(gguf, { contextLength: 1e6 }, 0).cache, memoryNeed(gguf, {}, 0).cache)
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
