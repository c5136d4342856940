import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, rmdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { temporary } from '../../test/helpers/temporary.ts'
import { lockFile } from './lock.ts'

const staleMs = 2000

/** Another process that takes the lock, and when it has released it once, keeps it. */
async function owner(test: TestContext, path: string): Promise<ChildProcess> {
  const script = `
    const { lockFile } = await import(${JSON.stringify(new URL('lock.ts', import.meta.url))})
    await (await lockFile(${JSON.stringify(path)}, ${staleMs})).release()
    await lockFile(${JSON.stringify(path)}, ${staleMs})
    console.log('locked')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: ['ignore', 'pipe', 2] })
  test.after(() => child.kill('SIGKILL'))
  await once(child.stdout!, 'data')
  return child
}

describe('lockFile', () => {
  // Whoever finds a lock waits until it would be old: these wait at once.
  describe('over time', { concurrency: true }, () => {
    it('keeps others out while its owner lives, and lets them in when it is released', async (test) => {
      const path = join(await temporary(test), 'lock')
      const lock = await lockFile(path, staleMs)
      await assert.rejects(lockFile(path, staleMs), /another process is downloading the same file \(lock .*\/lock\)/)
      assert.equal(lock.lost, false)
      await lock.release()
      assert.equal(existsSync(path), false)
      await (await lockFile(path, staleMs)).release()
    })

    it('takes over the lock of an owner that was killed', async (test) => {
      const path = join(await temporary(test), 'lock')
      const child = await owner(test, path)
      child.kill('SIGKILL')
      await once(child, 'exit')
      assert.equal(existsSync(path), true)
      const begun = performance.now()
      await (await lockFile(path, staleMs)).release()
      assert.ok(performance.now() - begun < 2 * staleMs)
    })

    it('says when it was lost', async (test) => {
      const path = join(await temporary(test), 'lock')
      const lock = await lockFile(path, staleMs)
      await rmdir(path)
      for (const end = performance.now() + 5000; !lock.lost && performance.now() < end; ) await wait(20)
      assert.equal(lock.lost, true)
      await lock.release()
    })
  })

  it('takes over at once what was left behind long ago', async (test) => {
    const path = join(await temporary(test), 'lock')
    await mkdir(path)
    await utimes(path, new Date(0), new Date(0))
    const begun = performance.now()
    await (await lockFile(path)).release()
    assert.ok(performance.now() - begun < 1000)
  })

  it('leaves nothing behind on Ctrl-C', async (test) => {
    const path = join(await temporary(test), 'lock')
    const child = await owner(test, path)
    child.kill('SIGINT')
    assert.deepEqual(await once(child, 'exit'), [null, 'SIGINT'])
    assert.equal(existsSync(path), false)
  })

  it('listens to signals only while it is held', async (test) => {
    const lock = await lockFile(join(await temporary(test), 'lock'))
    assert.equal(process.listenerCount('SIGINT'), 1)
    await lock.release()
    assert.equal(process.listenerCount('SIGINT'), 0)
  })

  it('does not wait where nothing can be locked', async (test) => {
    const begun = performance.now()
    await assert.rejects(lockFile(join(await temporary(test), 'nowhere', 'lock')), { code: 'ENOENT' })
    assert.ok(performance.now() - begun < 1000)
  })
})
