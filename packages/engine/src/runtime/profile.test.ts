import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../test/fixtures/gguf.ts'
import type { Log } from '../api/engine-options.ts'
import { machineConstants } from '../core/schedule/machine-constants.ts'
import { derivedDir } from '../gguf/index.ts'
import { loadProfile, type Profile, type ProfileOf, saveProfile } from './profile.ts'

const hash = 'cd'.repeat(32)
const profile: Profile = {
  costs: [[{ rows: 1, ms: 4 }]],
  acceptances: { 'lookup/2': [[4, 3]] },
  machine: machineConstants,
}

test('what was learnt comes back under the same conditions, and under no others', async (t) => {
  const of: ProfileOf = {
    cacheDir: await temporaryDirectory(t),
    hash,
    stages: [[0, 30]],
    threads: [2],
    cache: 'unified',
    gpuLayers: 0,
  }
  const logged: string[] = []
  const log: Log = (_, message) => logged.push(message)
  assert.equal(await loadProfile(of, log), undefined)
  await saveProfile(of, profile, log)
  const { costs, acceptances, machine } = (await loadProfile(of, log))!
  assert.deepEqual({ costs, acceptances, machine }, profile)
  for (const other of [
    { threads: [1] },
    { cache: 'separate' as const },
    { gpuLayers: 31 },
    { stages: [[0, 8] as const, [8, 30] as const] },
  ])
    assert.equal(await loadProfile({ ...of, ...other }, log), undefined, JSON.stringify(other))
  assert.deepEqual(logged, [])
})

test('a damaged profile is as none, and a cache that cannot be written is named', async (t) => {
  const cacheDir = await temporaryDirectory(t)
  const of: ProfileOf = { cacheDir, hash, stages: [[0, 30]], threads: [2], cache: 'unified', gpuLayers: 0 }
  await saveProfile(of, profile, assert.fail)
  const logged: string[] = []
  const log: Log = (level, message) => logged.push(`${level} ${message}`)
  // Cut short, or of an older shape.
  for (const content of [
    '{"basis":',
    '[]',
    '{"basis":"","costs":3}',
    JSON.stringify({ ...profile, machine: undefined }),
  ]) {
    await writeFile(join(derivedDir(cacheDir, hash), 'profile.json'), content)
    assert.equal(await loadProfile(of, log), undefined)
    assert.match(logged.splice(0).join(), /^warn .*profile.json is not used: /)
  }
  await writeFile(join(cacheDir, 'file'), '')
  await saveProfile({ ...of, cacheDir: join(cacheDir, 'file') }, profile, log)
  assert.match(logged.join(), /^warn what was learnt about this model is not saved/)
})
