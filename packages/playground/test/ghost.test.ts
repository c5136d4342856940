import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EditorState, type TransactionSpec } from '@codemirror/state'
import { dismiss, ghostText, suggest, suggests } from '../src/code/ghost.ts'

test('what was dismissed does not come back while it is still being written, but after the next key', () => {
  let state = EditorState.create({ doc: 'let a', selection: { anchor: 5 }, extensions: ghostText })
  const next = (spec: TransactionSpec) => {
    state = state.update(spec).state
    return suggests(state)
  }
  assert.equal(next({ effects: suggest.of(' = 1') }), true)
  assert.equal(next({ effects: dismiss.of(null) }), false)
  assert.equal(next({ effects: suggest.of(' = 1\nlet b') }), false)
  assert.equal(next({ changes: { from: 5, insert: ';' }, selection: { anchor: 6 } }), false)
  assert.equal(next({ effects: suggest.of('\nlet b') }), true)
})
