import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { test } from 'node:test'
import { Engine, tuneFormat } from '../src/index.ts'
import { model, temporaryDirectory } from './fixtures/gguf.ts'

const { path, skip } = model('stories260K.gguf')
const prompts = Array.from({ length: 40 }, (_, i) => ({
  prompt: `Once upon a time there was a dog that had ${i} bones.`,
}))

test('formats are compared with the file: fewer bits are further away, and nothing stays', { skip }, async (t) => {
  const cacheDir = await temporaryDirectory(t)
  const options = { model: path, prompts, threads: 1, cacheDir }
  const [own, q8, q4] = await tuneFormat({ ...options, formats: ['Q8_0', 'Q4_0'] })
  assert.deepEqual([own!.format, own!.divergence, own!.agreement], [undefined, 0, 1])
  assert.ok(q8!.bytes < own!.bytes && q4!.bytes < q8!.bytes)
  assert.match(q8!.description, /Q8_0/)
  assert.ok(q8!.divergence > 0 && q8!.divergence < 0.01, `${q8!.divergence}`)
  assert.ok(q4!.divergence > 10 * q8!.divergence, `${q4!.divergence}`)
  assert.ok(q8!.agreement > q4!.agreement && q8!.agreement <= 1)
  for (const { promptPerSecond, replyPerSecond, eightRowsMs } of [own!, q8!, q4!]) {
    assert.ok(promptPerSecond > 0 && replyPerSecond > 0 && eightRowsMs > 0)
  }
  assert.deepEqual(await readdir(cacheDir), [])
})

test('an engine brings weights into a format once, and says so', { skip }, async (t) => {
  const cacheDir = await temporaryDirectory(t)
  const lines: string[] = []
  const log = (_: string, line: string) => lines.push(line)
  for (const times of [1, 1]) {
    await using engine = await Engine.load(path, { format: 'Q8_0', cacheDir, threads: 1, parallel: 1, log })
    assert.match(engine.info.description, /Q8_0/)
    assert.deepEqual([engine.info.name, engine.info.path], ['stories260K', path])
    assert.equal(lines.filter((line) => line.includes('into Q8_0')).length, times)
    let text = ''
    for await (const event of engine.generate({ prompt: 'Once upon a time', maxTokens: 8 })) {
      if (event.type === 'delta') text += event.text
    }
    assert.match(text, /\w/)
  }
  // @ts-expect-error: a name that a program without types may give
  await assert.rejects(Engine.load(path, { format: 'Q9_9', cacheDir }), { code: 'invalid_request', param: 'format' })
})
