import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Item } from '../items/item.ts'
import { begun, type ResponseObject } from './response-object.ts'
import { conversationOf, ResponseStore } from './response-store.ts'

function said(id: string): Item {
  return { id, type: 'function_call_output', status: 'completed', call_id: 'a', output: 'x' }
}

function stored(id: string, input: readonly Item[] = []) {
  const response: ResponseObject = { ...begun, id, object: 'response', output: [said(`of-${id}`)] }
  return { response, input }
}

test('the response that was used least recently goes first', () => {
  const store = new ResponseStore({ maxResponses: 2 })
  store.add(stored('a'))
  store.add(stored('b'))
  store.get('a')
  store.add(stored('c'))
  assert.deepEqual(
    ['a', 'b', 'c'].map((id) => store.get(id) !== undefined),
    [true, false, true],
  )
  assert.equal(store.item('of-b'), undefined)
})

test('its size is bounded, too', () => {
  const one = JSON.stringify(stored('a')).length
  const store = new ResponseStore({ maxSize: 2 * one })
  for (const id of ['a', 'b', 'c']) store.add(stored(id))
  assert.equal(store.get('a'), undefined)
  assert.ok(store.get('b') && store.get('c'))
})

test('an item stays as long as a response has it', () => {
  const store = new ResponseStore()
  store.add(stored('a'))
  store.add(stored('b', conversationOf(store.require('a'))))
  store.delete('a')
  assert.ok(store.item('of-a'))
  store.delete('b')
  assert.equal(store.item('of-a'), undefined)
  assert.throws(() => store.require('b'), { code: 'response_not_found' })
})
