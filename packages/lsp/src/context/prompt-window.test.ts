import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PromptWindow } from './prompt-window.ts'

const sizes = { before: 40, after: 20 }
const lines = Array.from({ length: 20 }, (_, i) => `line ${i}`).join('\n')

test('a short document goes in whole', () => {
  assert.deepEqual(new PromptWindow().around('a\nb\nc', 2, sizes), { before: 'a\n', after: 'b\nc' })
})

test('while it is typed the beginning stays, then moves far at once', () => {
  const window = new PromptWindow()
  let [text, cursor] = ['', 0]
  const beginnings = new Set<number>()
  for (const character of lines) {
    window.changed(cursor, cursor, 1)
    text += character
    cursor++
    const { before } = window.around(text, cursor, sizes)
    assert.ok(before.length <= sizes.before)
    assert.ok(text.endsWith(before))
    beginnings.add(text.length - before.length)
  }
  assert.ok(beginnings.size <= lines.length / (sizes.before / 8), `${beginnings.size} beginnings`)
  for (const at of beginnings) assert.ok(at === 0 || text[at - 1] === '\n', 'it begins with a line')
})

test('an edit above moves the window with its text', () => {
  const window = new PromptWindow()
  const cursor = lines.length
  const { before } = window.around(lines, cursor, sizes)
  window.changed(0, 0, 3)
  assert.equal(window.around(`xxx${lines}`, cursor + 3, sizes).before, before)
})

test('brackets that the editor puts behind the cursor do not count as what follows', () => {
  const plain = new PromptWindow().around('f(\nb', 2, sizes).after
  assert.equal(new PromptWindow().around('f()\nb', 2, sizes).after, plain)
  assert.equal(new PromptWindow().around('f(")\nb', 2, sizes).after, plain)
  assert.equal(new PromptWindow().around('f(a)\nb', 2, sizes).after, 'a)\nb')
})

test('line ends become one character, and no character is cut in two', () => {
  assert.deepEqual(new PromptWindow().around('a\r\nb\r\nc', 3, sizes), { before: 'a\n', after: 'b\nc' })
  const smileys = '🙂'.repeat(60)
  const { before, after } = new PromptWindow().around(smileys, 60, sizes)
  assert.ok(before.isWellFormed() && after.isWellFormed())
})
