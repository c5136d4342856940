import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { chatBody } from '../src/chat-body.ts'
import { completionBody } from '../src/completion-body.ts'

const page = readFileSync(new URL('../../../docs/server.md', import.meta.url), 'utf8')

test('docs/server.md names every parameter that a body may have', () => {
  const parameters = [...Object.keys(chatBody.shape), ...Object.keys(completionBody.shape)]
  const options = Object.keys(chatBody.shape.stream_options.unwrap().unwrap().shape)
  assert.ok(options.includes('include_provisional'))
  assert.deepEqual(
    [...parameters, ...options].filter((name) => !page.includes(`\`${name}\``)),
    [],
  )
})
