import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Engine, type EngineOptions } from '../src/index.ts'
import { Comparison } from './compare.ts'
import { model, temporaryDirectory } from './fixtures/gguf.ts'
import { Reference } from './reference.ts'

const { path, skip } = model('stories260K.gguf')
const beginnings = ['Once upon a time', 'Lily had a red ball. She', 'The dog was very big and', 'Tom and his mom']

test('several requests at once: a model in stages says what it says uncut', { skip }, async (t) => {
  using reference = await Reference.load(path, { cells: 512, threads: 1 })
  const prompts = beginnings.map((prompt) => ({ prompt }))
  const comparison = new Comparison(reference, prompts, { maxTokens: 40 })
  const layouts: [string, EngineOptions][] = [
    ['uncut', { cut: 'none' }],
    ['two stages', { cut: [2] }],
    ['three stages', { cut: [1, 3] }],
    ['two devices', { cut: [2], threads: [1, 1] }],
  ]
  for (const [name, options] of layouts) {
    await using engine = await Engine.load(path, { cacheDir: await temporaryDirectory(t), threads: 1, ...options })
    assert.equal(engine.info.cutRefused, undefined)
    await comparison.run(engine, { name, together: beginnings.length, options: () => ({ proposers: [] }) })
  }
})

test('a prefix is pinned while replies keep both devices busy', { skip }, async (t) => {
  const cacheDir = await temporaryDirectory(t)
  await using engine = await Engine.load(path, { cacheDir, cut: [2], threads: [1, 1], contextLength: 512 })
  let pinned = false
  const talk = async (prompt: string): Promise<boolean> => {
    for (let turn = 0; turn < 100; turn++) {
      for await (const event of engine.generate({ prompt, maxTokens: 100, proposers: [] })) {
        if (event.type === 'delta' && pinned) return true
      }
    }
    return false
  }
  const pin = async (): Promise<boolean> => {
    await engine.pinPrefix('story', { prompt: 'There was a girl who lived in a small house near the wood. ' })
    pinned = true
    return true
  }
  assert.deepEqual(
    await Promise.all([...beginnings.map(talk), pin()]),
    [...beginnings, 'pin'].map(() => true),
  )
})
