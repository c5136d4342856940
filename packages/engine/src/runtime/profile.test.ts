import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../test/fixtures/gguf.ts'
import { derivedDir } from '../gguf/index.ts'
import { loadProfile, type ProfileOf, saveProfile } from './profile.ts'

const hash = 'cd'.repeat(32)
const profile = { costs: [[{ rows: 1, ms: 4 }]], acceptances: { 'lookup/2': [[4, 3]] as const } }

test('what was learnt comes back under the same conditions, and under no others', async (t) => {
  const of: ProfileOf = {
    cacheDir: await temporaryDirectory(t),
    hash,
    stages: [[0, 30]],
    threads: [2],
    cache: 'unified',
  }
  const logged: string[] = []
  assert.equal(await loadProfile(of), undefined)
  await saveProfile(of, structuredClone(profile) as never, (_, message) => logged.push(message))
  const { costs, acceptances } = (await loadProfile(of))!
  assert.deepEqual({ costs, acceptances }, profile)
  for (const other of [
    { threads: [1] },
    { cache: 'separate' as const },
    { stages: [[0, 8] as const, [8, 30] as const] },
  ])
    assert.equal(await loadProfile({ ...of, ...other }), undefined, JSON.stringify(other))
  assert.deepEqual(logged, [])
})

test('a damaged profile is as none, and a cache that cannot be written is named', async (t) => {
  const cacheDir = await temporaryDirectory(t)
  const of: ProfileOf = { cacheDir, hash, stages: [[0, 30]], threads: [2], cache: 'unified' }
  await saveProfile(of, structuredClone(profile) as never, assert.fail)
  await writeFile(join(derivedDir(cacheDir, hash), 'profile.json'), '{"basis":')
  assert.equal(await loadProfile(of), undefined)
  const logged: string[] = []
  await writeFile(join(cacheDir, 'file'), '')
  await saveProfile({ ...of, cacheDir: join(cacheDir, 'file') }, structuredClone(profile) as never, (level, message) =>
    logged.push(`${level} ${message}`),
  )
  assert.match(logged.join(), /^warn what was learnt about this model is not saved/)
})
