import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { model, temporaryDirectory } from '../../../test/fixtures/gguf.ts'
import { Engine } from '../../engine.ts'

const { path, skip } = model('stories260K.gguf')

test('a verdict on a cut holds for the kernels that gave it, and no others', { skip }, async (t) => {
  const cacheDir = await temporaryDirectory(t)
  const stagesNow = async () => {
    await using engine = await Engine.load(path, { cut: [2], threads: 1, contextLength: 64, cacheDir })
    return engine.info.stages.length
  }
  assert.equal(await stagesNow(), 2)
  const files = await readdir(cacheDir, { recursive: true })
  const file = join(cacheDir, files.find((name) => /verified-.*\.json$/.test(name))!)
  const verdict = JSON.parse(await readFile(file, 'utf8')) as { kernels: string; difference: number }
  assert.equal(verdict.difference, 0)
  // Remembered: the cut is refused without another look.
  await writeFile(file, JSON.stringify({ ...verdict, difference: 0.5 }))
  assert.equal(await stagesNow(), 1)
  // Another CPU said so: it is looked at again, and found sound.
  await writeFile(file, JSON.stringify({ kernels: `${verdict.kernels} AMX_INT8 = 1`, difference: 0.5 }))
  assert.equal(await stagesNow(), 2)
})
