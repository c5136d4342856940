import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Engine, type GenerateRequest } from '@incipit/engine'
import compile from '../src/compiler.ts'

const models = process.env.INCIPIT_MODELS ?? fileURLToPath(new URL('../../../../shared/models', import.meta.url))
const path = join(models, 'SmolLM2-135M-Instruct.Q4_1.gguf')
const skip = existsSync(path) ? false : `${path} is missing`

const schema = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 12 }, age: { type: 'integer', minimum: 0, maximum: 120 } },
  required: ['name', 'age'],
  additionalProperties: false,
}
const messages = [{ role: 'user', content: 'Invent a person with a name and an age. Answer in JSON.' }]

test('a reply keeps to its schema, with guesses and without, and shows nothing that does not', {
  skip,
  timeout: 120_000,
}, async (t) => {
  const cacheDir = mkdtempSync(join(tmpdir(), 'incipit-constraint-'))
  t.after(() => rmSync(cacheDir, { recursive: true, force: true }))
  await using engine = await Engine.load(path, {
    threads: 1,
    contextLength: 512,
    parallel: 2,
    cacheDir,
    constraints: compile,
  })
  const constraint = { type: 'json_schema', schema } as const
  const ask = async (request: Partial<GenerateRequest>) => {
    let text = ''
    for await (const event of engine.generate({ messages, maxTokens: 60, constraint, ...request })) {
      if (event.type === 'delta') text += event.text
      if (event.type === 'done') assert.equal(event.finishReason, 'stop')
    }
    const { name, age } = JSON.parse(text) as { name: string; age: number }
    assert.ok(name.length <= 12 && Number.isInteger(age) && age >= 0 && age <= 120, text)
    return text
  }
  const plain = await ask({ proposers: [] })
  const prediction = plain.replace(/\d+/, '7')
  assert.equal(await ask({ policy: 'provisional', minStability: 0, prediction }), plain)
  await Promise.all([1, 2, 3].map((seed) => ask({ temperature: 1, seed })))
  assert.throws(() => engine.generate({ messages, constraint: { type: 'regex', pattern: '(' } }), {
    code: 'invalid_request',
    param: 'constraint',
  })
})
