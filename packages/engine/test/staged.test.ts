import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Engine, type EngineOptions } from '../src/index.ts'
import { model, temporaryDirectory } from './fixtures/gguf.ts'

const { path, skip } = model('stories260K.gguf')
const beginnings = ['Once upon a time', 'Lily had a red ball. She', 'The dog was very big and', 'Tom and his mom']

/** Replies to several requests at once. */
async function replies(t: TestContext, options: EngineOptions): Promise<string[]> {
  await using engine = await Engine.load(path, { cacheDir: await temporaryDirectory(t), threads: 1, ...options })
  return await Promise.all(
    beginnings.map(async (prompt) => {
      let text = ''
      for await (const event of engine.generate({ prompt, maxTokens: 40, proposers: [] })) {
        if (event.type === 'delta') text += event.text
      }
      return text
    }),
  )
}

test('several requests at once: a model in stages says what it says uncut', { skip }, async (t) => {
  const whole = await replies(t, { cut: 'none' })
  assert.deepEqual(await replies(t, { cut: [2] }), whole)
  assert.deepEqual(await replies(t, { cut: [1, 3] }), whole)
  assert.deepEqual(await replies(t, { cut: [2], threads: [1, 1] }), whole, 'on two devices')
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
