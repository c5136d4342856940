import assert from 'node:assert/strict'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { temporary } from '../../test/helpers/temporary.ts'
import { removeModel } from './remove.ts'
import { named, shortNames } from './short-names.ts'
import { listAll, listModels } from './store.ts'

/** A store with these files, of so many bytes each. */
async function storeOf(test: TestContext, files: Record<string, number>): Promise<string> {
  const store = await temporary(test)
  for (const [name, size] of Object.entries(files)) {
    await mkdir(dirname(join(store, name)), { recursive: true })
    await writeFile(join(store, name), new Uint8Array(size))
  }
  return store
}

const split = { 'o/r/m-00001-of-00002.gguf': 10, 'o/r/m-00002-of-00002.gguf': 20 }

describe('a model store', () => {
  it('lists a split model as one, with the size of all its parts', async (test) => {
    const store = await storeOf(test, { ...split, 'a.gguf': 5, 'mmproj-a.gguf': 7, 'short-names.json': 3 })
    const models = await listModels(store)
    assert.deepEqual(
      models.map(({ name, size, files }) => [name, size, files.length]),
      [
        ['a', 5, 1],
        ['o/r/m', 30, 2],
      ],
    )
    assert.equal(models[1]?.path, join(store, 'o/r/m-00001-of-00002.gguf'))
  })

  it('holds a model for incomplete while a part is missing', async (test) => {
    const part = 'o/r/m-00002-of-00002.gguf.0123456789ab.part'
    const store = await storeOf(test, { 'o/r/m-00001-of-00002.gguf': 10, [part]: 15, 'b.gguf.0123456789ab.part': 4 })
    assert.deepEqual(await listModels(store), [])
    const all = await listAll(store)
    assert.deepEqual(
      all.map(({ name, size, complete }) => [name, size, complete]),
      [
        ['b', 4, false],
        ['o/r/m', 25, false],
      ],
    )
  })

  it('removes a model with all its parts, leftovers and empty folders, and nothing else', async (test) => {
    const others = { 'o/other/m.gguf': 1, 'o/r2.gguf': 1 }
    const store = await storeOf(test, { ...split, 'o/r/m-00001-of-00002.gguf.ffffffffffff.part': 3, ...others })
    const removed = await removeModel(store, 'o/r/m')
    assert.equal(removed.size, 33)
    assert.deepEqual((await readdir(join(store, 'o'))).sort(), ['other', 'r2.gguf'])
    await removeModel(store, 'r2')
    await removeModel(store, 'o/other/m.gguf')
    assert.deepEqual(await readdir(store), [])
  })

  it('removes a link and not what it leads to', async (test) => {
    const target = await storeOf(test, { 'real.gguf': 9 })
    const store = await temporary(test)
    await symlink(join(target, 'real.gguf'), join(store, 'linked.gguf'))
    await removeModel(store, 'linked')
    assert.deepEqual([await readdir(store), await readdir(target)], [[], ['real.gguf']])
  })

  it('removes nothing for a name of none or of several', async (test) => {
    const store = await storeOf(test, { 'a/m.gguf': 1, 'b/m.gguf': 1 })
    await assert.rejects(removeModel(store, 'm'), /m means several models of the store: a\/m, b\/m/)
    await assert.rejects(removeModel(store, 'x'), { code: 'model_not_found' })
    await assert.rejects(removeModel(store, '../a/m'), { code: 'model_not_found' })
    assert.equal((await listAll(store)).length, 2)
  })
})

describe('short names', () => {
  it('stand for references, a family for its first', async (test) => {
    const names = await shortNames(await temporary(test))
    assert.match(named(names, 'qwen3:4b') ?? '', /^hf:.+:Q\w+$/)
    assert.equal(named(names, 'qwen3'), named(names, 'qwen3:0.6b'))
    assert.equal(named(names, 'qwen'), undefined)
  })

  it('of the store come first', async (test) => {
    const store = await temporary(test)
    const own = { qwen3: 'hf:me/mine:Q8_0', own: 'hf:me/own/x.gguf', 'gemma3:1b': 'hf:me/other:Q8_0' }
    await writeFile(join(store, 'short-names.json'), JSON.stringify(own))
    const names = await shortNames(store)
    assert.equal(named(names, 'qwen3'), 'hf:me/mine:Q8_0')
    assert.equal(named(names, 'own'), 'hf:me/own/x.gguf')
    assert.equal(named(names, 'gemma3:1b'), 'hf:me/other:Q8_0')
    assert.match(named(names, 'qwen3:4b') ?? '', /Qwen3-4B/)
  })

  it('that are none are refused, with the file', async (test) => {
    const store = await temporary(test)
    for (const text of ['{', '[]', '{"a": 1}', '{"a": "elsewhere"}', '{"a": "hf:x"}']) {
      await writeFile(join(store, 'short-names.json'), text)
      await assert.rejects(shortNames(store), text === '{"a": "hf:x"}' ? /hf:x/ : /short-names\.json/)
    }
  })
})
