import assert from 'node:assert/strict'
import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { type GgufValue, writeGguf } from '@incipit/engine'
import { IncipitError } from '@incipit/engine/api'
import { temporary } from '../../test/helpers/temporary.ts'
import { resolveModel } from './resolve.ts'

/** A GGUF header of a model with or without a chat template, padded to `size` bytes. */
async function model(path: string, size: number, chat: boolean): Promise<string> {
  await mkdir(dirname(path), { recursive: true })
  const metadata = new Map<string, GgufValue>([['general.architecture', { type: 'string', value: 'llama' }]])
  if (chat) metadata.set('tokenizer.chat_template', { type: 'string', value: '{{ messages }}' })
  await writeGguf(path, metadata, [])
  await truncate(path, size)
  return path
}

/** A checkout of its own, so that nothing of this machine is found. */
async function prepare(test: TestContext) {
  const folder = await temporary(test)
  const store = join(folder, 'store')
  const root = join(folder, 'checkout')
  const env = (more = {}) => ({ INCIPIT_MODELS: store, INCIPIT_CACHE: join(folder, 'cache'), ...more })
  const resolve = async (reference?: string, more = {}) =>
    (await resolveModel(reference, { env: env(more), root, memory: 1_000_000 })).path
  return { folder, store, root, resolve }
}

function notFound(pattern: RegExp): (error: unknown) => true {
  return (error) => {
    assert(error instanceof IncipitError)
    assert.equal(error.code, 'model_not_found')
    assert.match(error.message, pattern)
    assert.match(error.message, /incipit pull .* --model PATH/)
    return true
  }
}

describe('resolveModel', () => {
  it('prefers --model over INCIPIT_MODEL over the store over the embedded model', async (test) => {
    const { folder, store, root, resolve } = await prepare(test)
    const embedded = await model(join(root, 'models', 'prelude', 'prelude.gguf'), 1000, true)
    assert.equal(await resolve(), embedded)
    const stored = await model(join(store, 'stored.gguf'), 1000, true)
    assert.equal(await resolve(), stored)
    const named = await model(join(folder, 'named.gguf'), 1000, true)
    assert.equal(await resolve(undefined, { INCIPIT_MODEL: named }), named)
    const given = await model(join(folder, 'given.gguf'), 1000, true)
    assert.equal(await resolve(given, { INCIPIT_MODEL: named }), given)
  })

  it('finds a model of the store by name, with and without extension and repository', async (test) => {
    const { store, resolve } = await prepare(test)
    const path = await model(join(store, 'owner', 'repo', 'tiny.gguf'), 1000, true)
    for (const name of ['tiny', 'tiny.gguf', 'owner/repo/tiny', 'owner/repo/tiny.gguf']) {
      assert.equal(await resolve(name), path)
    }
  })

  it('says which models a name could mean', async (test) => {
    const { store, resolve } = await prepare(test)
    await model(join(store, 'a', 'tiny.gguf'), 1000, true)
    await model(join(store, 'b', 'tiny.gguf'), 1000, true)
    await assert.rejects(resolve('tiny'), /several models of the store: a\/tiny, b\/tiny/)
  })

  it('says what was tried when a name is unknown', async (test) => {
    const { store, resolve } = await prepare(test)
    await assert.rejects(resolve('nothing'), notFound(/neither a file .* which is empty/))
    await model(join(store, 'tiny.gguf'), 1000, true)
    await assert.rejects(resolve('nothing'), notFound(/--model nothing .* which has tiny;/))
    await assert.rejects(resolve(undefined, { INCIPIT_MODEL: 'nothing' }), notFound(/INCIPIT_MODEL nothing/))
  })

  it('says what was tried when there is nothing at all', async (test) => {
    const { store, resolve } = await prepare(test)
    await assert.rejects(
      resolve(),
      notFound(new RegExp(`neither --model nor INCIPIT_MODEL .*${store}.* no model is embedded`)),
    )
  })

  it('picks the largest chat model that fits into half of the memory', async (test) => {
    const { store, resolve } = await prepare(test)
    await model(join(store, 'base.gguf'), 450_000, false)
    await model(join(store, 'huge-chat.gguf'), 900_000, true)
    await model(join(store, 'small-chat.gguf'), 1000, true)
    const medium = await model(join(store, 'medium-chat.gguf'), 400_000, true)
    assert.equal(await resolve(), medium)
  })

  it('picks the largest that fits when none has a chat template, and the smallest when none fits', async (test) => {
    const { store, resolve } = await prepare(test)
    await model(join(store, 'a.gguf'), 1000, false)
    const b = await model(join(store, 'b.gguf'), 2000, false)
    assert.equal(await resolve(), b)
    const other = await prepare(test)
    await model(join(other.store, 'a.gguf'), 900_000, true)
    const smaller = await model(join(other.store, 'b.gguf'), 800_000, true)
    assert.equal(await other.resolve(), smaller)
  })

  it('passes over broken files, image projectors and further parts of split models', async (test) => {
    const { store, resolve } = await prepare(test)
    const good = await model(join(store, 'good.gguf'), 1000, true)
    await writeFile(join(store, 'broken.gguf'), 'x'.repeat(2000))
    await model(join(store, 'mmproj-good.gguf'), 3000, true)
    await model(join(store, 'split-00002-of-00002.gguf'), 4000, true)
    assert.equal(await resolve(), good)
  })

  it('follows links in the store', async (test) => {
    const { folder, store, resolve } = await prepare(test)
    const target = await model(join(folder, 'elsewhere.gguf'), 1000, true)
    await mkdir(store)
    await symlink(target, join(store, 'linked.gguf'))
    assert.equal(await resolve(), join(store, 'linked.gguf'))
  })

  it('uses the models beside a checkout only without INCIPIT_MODELS', async (test) => {
    const { folder, root } = await prepare(test)
    const shared = await model(join(folder, 'shared', 'models', 'dev.gguf'), 1000, true)
    await mkdir(root)
    await writeFile(join(root, 'package-lock.json'), '{}')
    const cached = { INCIPIT_CACHE: join(folder, 'cache') }
    assert.equal((await resolveModel(undefined, { env: cached, root })).path, shared)
    await assert.rejects(resolveModel(undefined, { env: { ...cached, INCIPIT_MODELS: join(folder, 'empty') }, root }))
  })
})
