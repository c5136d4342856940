import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { proposerNames } from '@incipit/engine/api'
import { chatBody } from '../src/chat-body.ts'
import { completionBody } from '../src/completion-body.ts'
import { responsesBody } from '../src/responses/responses-body.ts'
import { unsupportedParameters } from '../src/unsupported-parameters.ts'
import { timingsOf } from '../src/wire.ts'
import { done } from './fake-engine.ts'

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

test('docs/responses.md names every parameter that a body may have', () => {
  const page = readFileSync(new URL('../../../docs/responses.md', import.meta.url), 'utf8')
  assert.deepEqual(
    Object.keys(responsesBody.shape).filter(
      (name) => !page.includes(`\`${name}`) && !Object.hasOwn(unsupportedParameters, name),
    ),
    [],
  )
  // Where those are.
  assert.ok(page.includes('server.md#refused'))
})

test('docs/server.md names everything that timings tell, and everybody who may have guessed', () => {
  const names = [...Object.keys(timingsOf([done()])), ...proposerNames]
  assert.deepEqual(
    names.filter((name) => !page.includes(`\`${name}\``)),
    [],
  )
})
