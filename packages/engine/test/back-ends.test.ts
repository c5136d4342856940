import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import koffi from 'koffi'
import { BackEnds } from '../src/llama/back-ends.ts'
import { cpuVariants } from '../src/llama/cpu-variants.ts'
import { libraryFile } from '../src/llama/find-library.ts'
import { library } from '../src/llama/library.ts'
import { temporaryDirectory } from './fixtures/gguf.ts'

const { place, backEnds } = library()
const base = koffi.load(libraryFile(place.directory, 'ggml-base'))
const ggml = koffi.load(libraryFile(place.directory, 'ggml'))

test('a back end that cannot be loaded leaves the CPU as it was', async (t) => {
  const folder = await temporaryDirectory(t)
  const broken = join(folder, 'libggml-cuda.so')
  await writeFile(broken, 'not a library')
  const before = backEnds.devices()
  const found = new BackEnds(base, ggml, folder, [{ name: 'broken', files: [broken, join(folder, 'missing.so')] }])
  assert.equal(found.gpu, undefined)
  assert.deepEqual(
    found.devices().map(({ name }) => name),
    before.map(({ name }) => name),
  )
  assert.ok(before.some(({ kind }) => kind === 'cpu'))
})

// Another build for the CPU stands for one that finds a device: this machine may have no GPU.
const variant = cpuVariants(place.directory).find(({ score }) => score > 0)
test('of several packages the first one is used whose back end finds a device', { skip: !variant }, async (t) => {
  const folder = await temporaryDirectory(t)
  const working = variant!.path
  const broken = join(folder, 'broken.so')
  await writeFile(broken, '')
  const count = backEnds.devices().length
  const found = new BackEnds(base, ggml, folder, [
    { name: 'broken', files: [broken] },
    { name: 'fallback', files: [broken, working] },
    { name: 'last', files: [working] },
  ])
  assert.equal(found.gpu, 'fallback')
  assert.equal(found.devices().length, count + 1)
})
