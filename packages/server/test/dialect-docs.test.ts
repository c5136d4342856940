import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { messagesBody } from '../src/anthropic/messages-body.ts'
import { completionBody } from '../src/llama-server/completion-body.ts'
import { infillBody } from '../src/llama-server/infill.ts'
import { chatBody } from '../src/ollama/chat-body.ts'
import { generateBody } from '../src/ollama/generate-body.ts'
import { modelOptions } from '../src/ollama/options.ts'
import { unsupportedParameters } from '../src/unsupported-parameters.ts'

const pages = {
  anthropic: Object.keys(messagesBody.shape),
  ollama: [chatBody, generateBody, modelOptions].flatMap(({ shape }) => Object.keys(shape)),
  'llama-server': [completionBody, infillBody].flatMap(({ shape }) => Object.keys(shape)),
}

for (const [dialect, fields] of Object.entries(pages)) {
  test(`docs/${dialect}.md names every field that a body may have`, () => {
    const page = readFileSync(new URL(`../../../docs/${dialect}.md`, import.meta.url), 'utf8')
    assert.ok(fields.length > 10)
    assert.deepEqual(
      fields.filter((name) => !page.includes(`\`${name}\``) && !Object.hasOwn(unsupportedParameters, name)),
      [],
    )
    // Where those are.
    assert.ok(page.includes('server.md#refused'))
  })
}
