import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

// The examples run as they stand, on real weights.
const root = join(import.meta.dirname, '../../..')
const model = join(process.env.INCIPIT_MODELS ?? join(root, '../shared/models'), 'SmolLM2-135M-Instruct.Q4_1.gguf')
const skip = existsSync(model) ? false : `no model at ${model}`

for (const [name, says] of [
  ['speech', /Paris[\s\S]+\(first word \d+ ms/],
  ['retrieval', /1871[\s\S]+of \d+ prompt tokens were ready/],
  ['chain', /\w+[\s\S]+of \d+ prompt tokens were ready/],
] as const) {
  test(`examples/${name}.ts`, { skip }, () => {
    const run = spawnSync(process.execPath, [join(root, 'examples', `${name}.ts`)], {
      encoding: 'utf8',
      env: { ...process.env, INCIPIT_MODEL: model, INCIPIT_THREADS: process.env.INCIPIT_THREADS ?? '1' },
      timeout: 240_000,
    })
    assert.equal(run.status, 0, run.stderr)
    assert.match(run.stdout, says)
  })
}
