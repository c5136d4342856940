import assert from 'node:assert/strict'
import { test } from 'node:test'
import { editRegions } from './edit-places.ts'
import { wordChange } from './word-change.ts'

function change(before: string, after: string) {
  const { renamed, called } = wordChange({ before, after })
  return { renamed: Object.fromEntries(renamed), called: [...called] }
}

const nothing = { renamed: {}, called: [] }

test('a name that another one takes the place of', () => {
  assert.deepEqual(change('let total = 0', 'let sum = 0').renamed, { total: 'sum' })
  assert.deepEqual(change('f(first, second)', 'f(one, two)').renamed, { first: 'one', second: 'two' })
})

test('no rename: the name is still there, it is a word of the language, or nothing took its place', () => {
  assert.deepEqual(change('total = total + 1', 'sum = total + 1'), nothing)
  assert.deepEqual(change('let a1 = 0', 'const a1 = 0'), nothing)
  assert.deepEqual(change('return total', 'return'), nothing)
  assert.deepEqual(change('return 1', 'return 2'), nothing)
})

test('a function that takes more or less', () => {
  const called = (before: string, after: string) => change(before, after).called
  assert.deepEqual(called('function sum(values) {', 'function sum(values, start) {'), ['sum'])
  assert.deepEqual(called('def total(xs):', 'def total(xs, start=0):'), ['total'])
  assert.deepEqual(called('const f1 = (a, b) => a', 'const f1 = (a) => a'), ['f1'])
  assert.deepEqual(called('  async read(path) {', '  async read(path, encoding) {'), ['read'])
  // A call is none of them.
  assert.deepEqual(called('console.log(a)', 'console.log(a, b)'), [])
  assert.deepEqual(called('if (a) {', 'if (a, b) {'), [])
})

const code =
  'function sum(values, start) {\n  return values\n}\n\n\nsum(a)\n\n\n\n\n\n\nconst x = sum\nconst y = sum(b)'

test('the places of a change, the nearest first, without the lines that were changed', () => {
  const lines = code.split('\n')
  const changed = wordChange({ before: 'function sum(values) {', after: lines[0]! })
  const own = new Set([lines[0]!])
  const near = editRegions(lines, changed, own, 0)
  assert.deepEqual(near, [
    { first: 5, last: 5, place: 5 },
    { first: 12, last: 13, place: 13 },
  ])
  assert.deepEqual(editRegions(lines, changed, own, 13), near.toReversed())
})
