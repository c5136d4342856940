import assert from 'node:assert/strict'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { incipit, withoutNative } from './helpers/command.ts'
import { FakeHub } from './helpers/fake-hub.ts'
import { temporary } from './helpers/temporary.ts'

const content = new Uint8Array(100_000)

/** A hub with two models, and an empty store in which `mine` is one of them. */
async function prepare(test: TestContext) {
  const hub = await FakeHub.start({ files: { 'o/r/m-Q4_K_M.gguf': content, 'o/r/m-Q8_0.gguf': content } })
  test.after(() => hub[Symbol.asyncDispose]())
  const store = await temporary(test)
  await writeFile(join(store, 'short-names.json'), '{"mine": "hf:o/r:Q8_0"}')
  const env = { ...withoutNative, INCIPIT_MODELS: store, HF_ENDPOINT: `${hub.url}/` }
  return { store, run: (...args: string[]) => incipit(args, { env }) }
}

describe('the commands of the model store', () => {
  it('pull by a short name, list, remove', async (test) => {
    const { store, run } = await prepare(test)
    const pulled = await run('pull', 'mine')
    assert.deepEqual([pulled.code, pulled.stdout], [0, `${join(store, 'o/r/m-Q8_0.gguf')}\n`])
    const listed = await run('list')
    assert.match(listed.stdout, /^NAME +SIZE +MODIFIED\no\/r\/m-Q8_0 +100\.0 kB +\d{4}-\d\d-\d\d\nprelude-small/)
    const removed = await run('rm', 'm-Q8_0')
    assert.deepEqual([removed.code, removed.stdout], [0, 'removed o/r/m-Q8_0 (100.0 kB)\n'])
    assert.deepEqual(await readdir(store), ['short-names.json'])
  })

  it('pull without a model lists short names, those of the store first', async (test) => {
    const { run } = await prepare(test)
    const { code, stdout } = await run('pull')
    assert.equal(code, 0)
    assert.match(stdout, /^mine +hf:o\/r:Q8_0\nsmollm2:135m +hf:/)
  })

  it('a short name is a model for every command, and is downloaded when it is wanted', async (test) => {
    const { store, run } = await prepare(test)
    const { stderr } = await run('run', '--model', 'mine', 'x')
    assert.deepEqual(await readdir(join(store, 'o', 'r')), ['m-Q8_0.gguf'])
    assert.match(stderr, /koffi was loaded|not a GGUF/)
  })

  it('rm says which models there are', async (test) => {
    const { run } = await prepare(test)
    const { code, stderr } = await run('rm', 'nothing')
    assert.equal(code, 1)
    assert.match(stderr, /nothing is no model of the store .*, which has nothing \(model_not_found\)/)
  })
})
