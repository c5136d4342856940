import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { test } from 'node:test'

// Every field that an official client may send is supported, refused or ignored, and the page of its dialect says which.

const requests = [
  ['openai', 'resources/chat/completions/completions.d.ts', 'ChatCompletionCreateParamsBase', 'server'],
  ['openai', 'resources/completions.d.ts', 'CompletionCreateParamsBase', 'server'],
  ['openai', 'resources/embeddings.d.ts', 'EmbeddingCreateParams', 'server'],
  ['openai', 'resources/responses/responses.d.ts', 'ResponseCreateParamsBase', 'responses'],
  ['@anthropic-ai/sdk', 'resources/messages/messages.d.ts', 'MessageCreateParamsBase', 'anthropic'],
  ['@anthropic-ai/sdk', 'resources/messages/messages.d.ts', 'OutputConfig', 'anthropic'],
  ['@anthropic-ai/sdk', 'resources/beta/messages/messages.d.ts', 'MessageCreateParamsBase', 'anthropic'],
  ['ollama', 'dist/browser.d.ts', 'ChatRequest', 'ollama'],
  ['ollama', 'dist/browser.d.ts', 'GenerateRequest', 'ollama'],
  ['ollama', 'dist/browser.d.ts', 'EmbedRequest', 'ollama'],
  ['ollama', 'dist/browser.d.ts', 'Options', 'ollama'],
] as const

for (const [client, file, name, page] of requests) {
  test(`docs/${page}.md names every field of ${name} of ${client}`, () => {
    const types = readFileSync(new URL(file, `file://${findPackageJSON(client, import.meta.url)}`), 'utf8')
    const [, members = ''] = new RegExp(`^(?:export )?interface ${name} \\{\\n(.*?)^\\}`, 'ms').exec(types) ?? []
    const fields = [...members.replaceAll(/\/\*.*?\*\//gs, '').matchAll(/^ {4}(\w+)\??:/gm)].map(([, field]) => field!)
    assert.ok(fields.length > 1, `${name} is in ${file}`)
    const text = readFileSync(new URL(`../../../docs/${page}.md`, import.meta.url), 'utf8')
    assert.deepEqual(
      fields.filter((field) => !text.includes(`\`${field}\``) && !text.includes(`\`${field}.`)),
      [],
    )
  })
}
