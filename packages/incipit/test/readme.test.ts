import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

// The README's code runs as it stands there.
const root = join(import.meta.dirname, '../../..')
const model = join(process.env.INCIPIT_MODELS ?? join(root, '../shared/models'), 'stories260K.gguf')
const blocks = [...readFileSync(join(root, 'README.md'), 'utf8').matchAll(/```ts\n(.*?)```/gs)].map(
  (match) => match[1]!,
)

test('the README has code to run', () => {
  assert.ok(blocks.length > 0)
})

for (const [index, code] of blocks.entries()) {
  test(`README code block ${index + 1}`, { skip: existsSync(model) ? false : `no model at ${model}` }, (t) => {
    // Beside the package, where '@incipit/engine' resolves as it does for a user.
    const file = join(import.meta.dirname, `readme-block-${process.pid}-${index}.ts`)
    writeFileSync(file, code)
    t.after(() => rmSync(file, { force: true }))
    const run = spawnSync(process.execPath, [file], {
      encoding: 'utf8',
      env: { ...process.env, INCIPIT_MODEL: model },
      timeout: 60_000,
    })
    assert.equal(run.status, 0, run.stderr)
    assert.ok(run.stdout.length > 20, `it printed: ${run.stdout}`)
    assert.equal(run.stderr, '')
  })
}
