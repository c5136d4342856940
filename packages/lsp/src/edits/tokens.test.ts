import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { differences, tokensOf } from './tokens.ts'

test('tokens are words, numbers, spaces and single signs, and together the text', () => {
  assert.deepEqual(tokensOf('let a_1 = 2.5\n'), ['let', ' ', 'a_1', ' ', '=', ' ', '2.5', '\n'])
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => tokensOf(text).join('') === text))
})

test('what differs, put in, makes one list the other', () => {
  const lists = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 12 })
  fc.assert(
    fc.property(lists, lists, (before, after) => {
      const made = [...before]
      for (const { from, to, newFrom, newTo } of differences(before, after).toReversed()) {
        assert.ok(to > from || newTo > newFrom)
        made.splice(from, to - from, ...after.slice(newFrom, newTo))
      }
      assert.deepEqual(made, after)
    }),
  )
})
