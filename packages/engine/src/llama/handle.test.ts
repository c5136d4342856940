import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Handle } from './handle.ts'

function handle(): { handle: Handle; freed: bigint[] } {
  const freed: bigint[] = []
  return { handle: new Handle('the thing', 7n, (pointer) => freed.push(pointer)), freed }
}

test('it is freed when it is disposed, once', () => {
  const { handle: thing, freed } = handle()
  assert.equal(thing.pointer, 7n)
  thing[Symbol.dispose]()
  thing[Symbol.dispose]()
  assert.deepEqual(freed, [7n])
})

test('what is held is freed when the last of its users is done', () => {
  const { handle: thing, freed } = handle()
  const releases = [thing.hold(), thing.hold()]
  thing[Symbol.dispose]()
  thing[Symbol.dispose]()
  releases[0]!()
  assert.deepEqual(freed, [])
  assert.equal(thing.held, true)
  releases[1]!()
  assert.deepEqual(freed, [7n])
})

test('users that are done before leave it alone', () => {
  const { handle: thing, freed } = handle()
  thing.hold()()
  assert.equal(thing.held, false)
  assert.deepEqual(freed, [])
  thing[Symbol.dispose]()
  assert.deepEqual(freed, [7n])
})

test('once disposed it can neither be used nor be held', () => {
  const { handle: thing } = handle()
  const release = thing.hold()
  thing[Symbol.dispose]()
  assert.throws(() => thing.pointer, { code: 'disposed', message: 'the thing was disposed' })
  assert.throws(() => thing.hold(), { code: 'disposed' })
  release()
})
