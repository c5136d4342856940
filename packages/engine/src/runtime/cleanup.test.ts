import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cleanup } from './cleanup.ts'

test('what was made is undone in reverse order, once', () => {
  const undone: string[] = []
  const cleanup = new Cleanup()
  cleanup.defer(() => undone.push('first'))
  const value = { [Symbol.dispose]: () => void undone.push('second') }
  assert.equal(cleanup.use(value), value)
  cleanup[Symbol.dispose]()
  cleanup[Symbol.dispose]()
  assert.deepEqual(undone, ['second', 'first'])
})

test('what was moved is left to its new owner', () => {
  const undone: string[] = []
  const cleanup = new Cleanup()
  cleanup.defer(() => undone.push('moved'))
  const moved = cleanup.move()
  cleanup[Symbol.dispose]()
  assert.deepEqual(undone, [])
  moved[Symbol.dispose]()
  assert.deepEqual(undone, ['moved'])
})

test('what throws keeps nothing else from being undone', () => {
  const undone: string[] = []
  const cleanup = new Cleanup()
  cleanup.defer(() => undone.push('first'))
  cleanup.defer(() => {
    throw new Error('no')
  })
  assert.throws(() => cleanup[Symbol.dispose](), { message: 'no' })
  assert.deepEqual(undone, ['first'])
})
