import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { groupLimit, machineMemory } from './machine-memory.ts'

/** A file system with these files. */
function fileSystem(t: TestContext, files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'incipit-groups-'))
  t.after(() => rmSync(root, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  return root
}

test('version 2: the least limit of the group and of those around it', (t) => {
  const files = {
    'proc/self/cgroup': '0::/user.slice/app.service\n',
    'sys/fs/cgroup/user.slice/app.service/memory.max': 'max\n',
    'sys/fs/cgroup/user.slice/memory.max': '2147483648\n',
  }
  assert.equal(groupLimit(fileSystem(t, files)), 2147483648)
  const own = { ...files, 'sys/fs/cgroup/user.slice/app.service/memory.max': '1048576\n' }
  assert.equal(groupLimit(fileSystem(t, own)), 1048576)
})

test('version 1, and a path of the host that is not mounted', (t) => {
  const files = {
    'proc/self/cgroup': '12:cpu,cpuacct:/\n5:memory:/docker/1f2e\n0::/docker/1f2e\n',
    'sys/fs/cgroup/memory/memory.limit_in_bytes': '536870912\n',
  }
  assert.equal(groupLimit(fileSystem(t, files)), 536870912)
})

test('no limit, and no control groups', (t) => {
  assert.equal(groupLimit(fileSystem(t, { 'proc/self/cgroup': '0::/\n' })), Number.POSITIVE_INFINITY)
  assert.equal(groupLimit(fileSystem(t, {})), Number.POSITIVE_INFINITY)
  assert(machineMemory() > 0 && machineMemory() <= totalmem())
})
