import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { mayBecome, tailLength, typedThrough } from './type-through.ts'

const place = { tail: 'const a = ', head: '\n' }

test('what is typed of a completion', () => {
  assert.equal(typedThrough(place, 'foo()', 'const a = ', '\n'), 0)
  assert.equal(typedThrough(place, 'foo()', 'const a = fo', '\n'), 2)
  assert.equal(typedThrough(place, 'foo()', 'const a = foo()', '\n'), 5)
})

test('something else was typed, or stands somewhere else', () => {
  assert.equal(typedThrough(place, 'foo()', 'const a = fa', '\n'), undefined)
  assert.equal(typedThrough(place, 'foo()', 'let a = fo', '\n'), undefined)
  assert.equal(typedThrough(place, 'foo()', 'x const a = fo', '\n'), undefined, 'the document began there')
  assert.equal(typedThrough(place, 'foo()', 'const a = fo', 'bar\n'), undefined)
})

test('what may still be said', () => {
  assert.ok(mayBecome(place, 'fo', 'const a = foo', '\n'))
  assert.ok(mayBecome(place, '', 'const a = foo', '\n'))
  assert.ok(!mayBecome(place, 'fa', 'const a = foo', '\n'))
  assert.ok(!mayBecome(place, 'foo', 'const a = f', '\n', 2), 'what it was made to begin with is taken back')
})

test('typed to any length, in a text of any length, and moved back', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 900 }), fc.string({ maxLength: 40 }), fc.nat(40), (before, said, typed) => {
      const tail = before.slice(-tailLength)
      const now = before + said.slice(0, typed)
      const found = typedThrough({ tail, head: '' }, said, now, '')
      // Where a text repeats itself more may fit.
      assert.ok(found !== undefined && found >= Math.min(typed, said.length))
      assert.ok(now.endsWith(said.slice(0, found)))
      assert.ok(mayBecome({ tail, head: '' }, said, now, ''))
    }),
  )
})
