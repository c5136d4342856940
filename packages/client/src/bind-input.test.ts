import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bindInput, firstDifference } from './bind-input.ts'

/** A text field that only has what is used of one. */
class Field extends EventTarget {
  value = ''
  /** What a browser does for any kind of edit: the value is another, and an event says so. */
  edit(value: string): void {
    this.value = value
    this.dispatchEvent(new Event('input'))
  }
  press(key: string, fields: object = {}): Event {
    const event = Object.assign(new Event('keydown', { cancelable: true }), { key, ...fields })
    this.dispatchEvent(event)
    return event
  }
}

class Target {
  text = ''
  readonly replaced: [number, string][] = []
  replace(base: number, text: string): void {
    this.replaced.push([base, text])
    this.text = this.text.slice(0, base) + text
  }
}

function bound(onSubmit?: () => void) {
  const field = new Field()
  const target = new Target()
  return { field, target, release: bindInput(field, target, onSubmit) }
}

test('typing, correcting and pasting are replaced from the first difference on', () => {
  const { field, target } = bound()
  for (const value of ['W', 'Wh', 'Who', 'Whi', 'What is', 'is']) field.edit(value)
  assert.deepEqual(target.replaced, [
    [0, 'W'],
    [1, 'h'],
    [2, 'o'],
    [2, 'i'],
    [2, 'at is'],
    [0, 'is'],
  ])
})

test('an event without a change says nothing', () => {
  const { field, target } = bound()
  field.edit('a')
  field.edit('a')
  field.dispatchEvent(new Event('compositionend'))
  assert.equal(target.replaced.length, 1)
})

test('what stands in the field already is taken', () => {
  const field = new Field()
  field.value = 'draft'
  const target = new Target()
  bindInput(field, target)
  assert.equal(target.text, 'draft')
})

test('characters of two units are never cut', () => {
  // 😀 and 😁 differ in their second unit.
  assert.equal(firstDifference('a😀', 'a😁'), 1)
  assert.equal(firstDifference('a😀b', 'a😀c'), 3)
  assert.equal(firstDifference('a😀', 'a😀'), 3)
})

test('the target has the field’s text after any edits, in replacements of whole characters', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '😀', '😁', 'é') })), (values) => {
      const { field, target } = bound()
      for (const value of values) {
        field.edit(value)
        assert.equal(target.text, value)
      }
      for (const [, text] of target.replaced) assert.ok(text.isWellFormed())
    }),
  )
})

test('Enter submits; with Shift, and in a composition, it does not', () => {
  let submitted = 0
  const { field } = bound(() => submitted++)
  assert.ok(field.press('Enter').defaultPrevented)
  assert.ok(!field.press('Enter', { shiftKey: true }).defaultPrevented)
  assert.ok(!field.press('Enter', { isComposing: true }).defaultPrevented)
  assert.ok(!field.press('a').defaultPrevented)
  assert.equal(submitted, 1)
})

test('a field that was changed by a script is read before it is submitted', () => {
  const { field, target } = bound(() => {})
  field.value = 'set by a script'
  field.press('Enter')
  assert.equal(target.text, 'set by a script')
})

test('released, it hears nothing any more', () => {
  const { field, target, release } = bound()
  release()
  field.edit('a')
  assert.equal(target.text, '')
})
