import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { test } from 'node:test'
import { allData, temporaryDirectory, tinyModel } from '../../test/fixtures/gguf.ts'
import { readGguf } from './read.ts'
import { type StageHead, stageFiles } from './stage-files.ts'
import { F32 } from './tensor-types.ts'

const hash = 'ab'.repeat(32)
const head = (id: string, value: number): StageHead => ({
  id,
  type: F32,
  shape: [2],
  data: async () => new Uint8Array(Float32Array.of(value, value).buffer),
})

test('an uncut model is its own stage', async (t) => {
  const directory = await temporaryDirectory(t)
  const gguf = await tinyModel(join(directory, 'm.gguf'))
  const cache = join(directory, 'cache')
  assert.deepEqual(await stageFiles(gguf, hash, [], cache, head('a', 1)), [
    { path: gguf.path, from: 0, to: 4, last: true },
  ])
  assert.ok(!existsSync(cache))
})

test('three stages, in order, each a sound model file', async (t) => {
  const cache = await temporaryDirectory(t)
  const files = await stageFiles(await tinyModel(join(cache, 'm.gguf')), hash, [1, 3], cache)
  assert.deepEqual(
    files.map(({ from, to, last }) => [from, to, last]),
    [
      [0, 1, false],
      [1, 3, false],
      [3, 4, true],
    ],
  )
  for (const { path, from, to, last } of files) {
    assert.equal(dirname(path), join(cache, hash.slice(0, 16)))
    assert.match(basename(path), new RegExp(`-${from}-${to}\\.gguf$`))
    const { metadata } = await readGguf(path)
    assert.equal(metadata.get('llama.block_count')?.value, to - from + (last ? 0 : 1))
    assert.equal(metadata.get('incipit.model.hash')?.value, hash)
  }
})

test('stage files are made once', async (t) => {
  const cache = await temporaryDirectory(t)
  const gguf = await tinyModel(join(cache, 'm.gguf'))
  const times = async () => {
    const files = await stageFiles(gguf, hash, [2], cache)
    return Promise.all(files.map(async ({ path }) => (await stat(path, { bigint: true })).ctimeNs))
  }
  assert.deepEqual(await times(), await times())
})

test('only the first stage carries the exit head, under its id', async (t) => {
  const cache = await temporaryDirectory(t)
  const gguf = await tinyModel(join(cache, 'm.gguf'))
  const plain = await stageFiles(gguf, hash, [1, 2], cache)
  const a = await stageFiles(gguf, hash, [1, 2], cache, head('ridge-1', 1))
  const b = await stageFiles(gguf, hash, [1, 2], cache, head('ridge-2', 2))
  assert.equal(new Set([plain, a, b].map((files) => files[0]!.path)).size, 3)
  assert.match(a[0]!.path, /-0-1-exit-ridge-1\.gguf$/)
  assert.deepEqual(a.slice(1), plain.slice(1))
  const output = async (path: string) => (await allData(await readGguf(path))).get('output.weight')
  assert.equal(await output(b[0]!.path), Buffer.from(Float32Array.of(2, 2).buffer).toString('hex'))
  assert.equal(await output(b[1]!.path), undefined)

  // Found in the cache, its data is not asked for again.
  const data = () => Promise.reject(new Error('asked for data'))
  assert.deepEqual(await stageFiles(gguf, hash, [1, 2], cache, { ...head('ridge-2', 2), data }), b)
})

test('an id that is no part of a file name is refused', async (t) => {
  const cache = await temporaryDirectory(t)
  const gguf = await tinyModel(join(cache, 'm.gguf'))
  for (const id of ['', '../x', 'A']) {
    await assert.rejects(stageFiles(gguf, hash, [1], cache, head(id, 1)), { code: 'invalid_request' })
  }
})

test('a cache that cannot be written refuses the cut and says why', async (t) => {
  const directory = await temporaryDirectory(t)
  const gguf = await tinyModel(join(directory, 'm.gguf'))
  const file = join(directory, 'a-file')
  await writeFile(file, 'kept')
  await assert.rejects(stageFiles(gguf, hash, [2], file), { code: 'cut_refused', message: /could not be written: E/ })
  assert.equal(await readFile(file, 'utf8'), 'kept')
})
