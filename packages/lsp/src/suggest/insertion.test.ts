import assert from 'node:assert/strict'
import { test } from 'node:test'
import { insertionOf, styleOf } from './insertion.ts'

const unix = { eol: '\n', tabs: false } as const

test('brackets that the editor put behind the cursor are not said twice', () => {
  assert.deepEqual(insertionOf('a, b)', { restOfLine: ')' }, unix), { text: 'a, b', replaces: 0 })
  assert.deepEqual(insertionOf('a, b) {', { restOfLine: ')' }, unix), { text: 'a, b) {', replaces: 1 })
  assert.deepEqual(insertionOf('a', { restOfLine: ')' }, unix), { text: 'a', replaces: 0 })
  assert.deepEqual(insertionOf('\n  a()\n})', { restOfLine: '})' }, unix), { text: '\n  a()\n})', replaces: 2 })
})

test('what else follows in the line stays', () => {
  assert.deepEqual(insertionOf('b', { restOfLine: ' + c' }, unix), { text: 'b', replaces: 0 })
})

test('line ends and tabs as the file has them', () => {
  const style = styleOf('if (a) {\r\n\tb()\r\n}\r\n')
  assert.deepEqual(style, { eol: '\r\n', tabs: true })
  assert.equal(insertionOf('\n    a()\n        b()', { restOfLine: '' }, style).text, '\r\n\ta()\r\n\t\tb()')
  assert.deepEqual(styleOf('def f():\n  pass\n'), unix)
})
