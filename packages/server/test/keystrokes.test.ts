import assert from 'node:assert/strict'
import { test } from 'node:test'
import { apply, speech, typing } from '../bench/keystrokes.ts'

const text = 'The quick brown fox jumps over the lazy dog. It was not amused! Was the dog? '.repeat(4)

test('typed and spoken text ends as the text itself, with corrections on the way', () => {
  for (let seed = 1; seed <= 20; seed++) {
    for (const strokes of [typing(text, 8, seed), speech(text, 300, seed)]) {
      assert.equal(apply(strokes), text)
      assert.ok(strokes.some(({ base }, i) => i > 0 && base < strokes[i - 1]!.base + strokes[i - 1]!.text.length))
    }
  }
})

test('the same seed types the same way, another one does not', () => {
  assert.deepEqual(typing(text, 8, 1), typing(text, 8, 1))
  assert.notDeepEqual(typing(text, 8, 1), typing(text, 8, 2))
})

test('the rate is about what was asked for', () => {
  const strokes = typing(text, 8, 3)
  const seconds = strokes.reduce((sum, { ms }) => sum + ms, 0) / 1000
  const rate = strokes.length / seconds
  assert.ok(rate > 6 && rate < 10, `${rate} strokes a second`)
})
