import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { copyFile, mkdir, readdir, readFile, rename, stat, utimes, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { temporaryDirectory } from '../../test/fixtures/gguf.ts'
import { defaultCacheDir, derived, modelHash } from './cache.ts'

const hash = 'ab'.repeat(32)
const folder = hash.slice(0, 16)

test('the cache directory follows the environment and the system', () => {
  const home = '/home/x'
  assert.equal(defaultCacheDir({ INCIPIT_CACHE: '/c', XDG_CACHE_HOME: '/xdg' }, 'linux', home), resolve('/c'))
  assert.equal(defaultCacheDir({ XDG_CACHE_HOME: '/xdg' }, 'linux', home), join('/xdg', 'incipit'))
  assert.equal(defaultCacheDir({ XDG_CACHE_HOME: 'relative' }, 'linux', home), join(home, '.cache', 'incipit'))
  assert.equal(defaultCacheDir({ INCIPIT_CACHE: '' }, 'linux', home), join(home, '.cache', 'incipit'))
  assert.equal(defaultCacheDir({}, 'darwin', home), join(home, 'Library', 'Caches', 'incipit'))
  assert.equal(defaultCacheDir({ LOCALAPPDATA: '/l' }, 'win32', home), join('/l', 'incipit'))
  assert.equal(defaultCacheDir({}, 'win32', home), join(home, 'AppData', 'Local', 'incipit'))
})

test('the hash is the SHA-256 of the content', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'model')
  await writeFile(path, 'abc')
  const expected = createHash('sha256').update('abc').digest('hex')
  assert.equal(await modelHash(path, join(directory, 'cache')), expected)
  // Where the cache cannot be written too.
  assert.equal(await modelHash(path, join(path, 'below-a-file')), expected)
})

test('a remembered hash is used until size, time, inode or path differ', async (t) => {
  const directory = await temporaryDirectory(t)
  const cache = join(directory, 'cache')
  const path = join(directory, 'model')
  await writeFile(path, 'one')
  const first = await modelHash(path, cache)
  // A note that the content does not bear out shows where the answer comes from.
  const [note] = await readdir(join(cache, 'hashes'))
  await writeFile(join(cache, 'hashes', note!), hash)
  assert.equal(await modelHash(path, cache), hash)

  const before = await stat(path)
  await utimes(path, before.atime, new Date(before.mtimeMs + 5000))
  assert.equal(await modelHash(path, cache), first)

  await writeFile(path, 'two!')
  assert.equal(await modelHash(path, cache), createHash('sha256').update('two!').digest('hex'))

  // Another file under the same name, with the same size and time.
  const then = new Date(1_700_000_000_000)
  await utimes(path, then, then)
  await modelHash(path, cache)
  await writeFile(join(directory, 'other'), '2two')
  await utimes(join(directory, 'other'), then, then)
  await rename(join(directory, 'other'), path)
  assert.equal(await modelHash(path, cache), createHash('sha256').update('2two').digest('hex'))
})

test('a damaged note is not believed', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'model')
  await writeFile(path, 'one')
  const first = await modelHash(path, directory)
  const [note] = await readdir(join(directory, 'hashes'))
  await writeFile(join(directory, 'hashes', note!), first.slice(0, 40))
  assert.equal(await modelHash(path, directory), first)
})

test('a missing model has no hash', async (t) => {
  const directory = await temporaryDirectory(t)
  await assert.rejects(modelHash(join(directory, 'no'), directory), { code: 'model_not_found' })
  await assert.rejects(modelHash(directory, directory), { code: 'model_not_found' })
})

test('a derived file is made once', async (t) => {
  const cache = await temporaryDirectory(t)
  let made = 0
  const make = async (temporary: string) => {
    made++
    assert.notEqual(temporary, join(cache, folder, 'x.bin'))
    await writeFile(temporary, 'content')
  }
  const path = await derived(cache, hash, 'x.bin', make)
  assert.equal(path, join(cache, folder, 'x.bin'))
  assert.equal(await derived(cache, hash, 'x.bin', make), path)
  assert.equal(await readFile(path, 'utf8'), 'content')
  assert.equal(made, 1)
  assert.deepEqual(await readdir(join(cache, folder)), ['x.bin'])
})

test('a maker that fails leaves nothing, and the next may succeed', async (t) => {
  const cache = await temporaryDirectory(t)
  const fail = async (temporary: string) => {
    await writeFile(temporary, 'half')
    throw new Error('no more')
  }
  await assert.rejects(derived(cache, hash, 'x.bin', fail), /no more/)
  assert.deepEqual(await readdir(join(cache, folder)), [])
  const path = await derived(cache, hash, 'x.bin', (temporary) => writeFile(temporary, 'whole'))
  assert.equal(await readFile(path, 'utf8'), 'whole')
})

test('names and hashes that would leave the cache are refused', async (t) => {
  const cache = await temporaryDirectory(t)
  const make = (temporary: string) => writeFile(temporary, '')
  for (const name of ['', '..', '../x', 'a/b', '.hidden']) {
    await assert.rejects(derived(cache, hash, name, make), { code: 'invalid_request' })
  }
  await assert.rejects(derived(cache, '../../../../etc', 'x', make), { code: 'invalid_request' })
})

/** A process that makes x.bin in two halves: it says when it wrote the first, and waits for a line before the second. */
function maker(t: TestContext, cache: string): ChildProcess & { said: (what: string) => Promise<void> } {
  const script = `
    import { appendFile } from 'node:fs/promises'
    import { once } from 'node:events'
    import { derived } from ${JSON.stringify(new URL('./cache.ts', import.meta.url).href)}
    const path = await derived(${JSON.stringify(cache)}, '${hash}', 'x.bin', async (temporary) => {
      await appendFile(temporary, 'first ')
      process.stdout.write('half\\n')
      await once(process.stdin, 'data')
      await appendFile(temporary, 'second')
    })
    process.stdout.write('done ' + path + '\\n')
    process.stdin.destroy()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  const said = async (what: string) => {
    while (!output.includes(what)) {
      assert.equal(child.exitCode, null, `ended before it said '${what}': ${output}`)
      await sleep(5)
    }
  }
  return Object.assign(child, { said })
}

const temporaries = (cache: string) => readdirSync(join(cache, folder)).filter((name) => name.endsWith('.tmp'))

test('two processes at once: both get the whole file, one stays', { timeout: 30_000 }, async (t) => {
  const cache = await temporaryDirectory(t)
  const makers = [maker(t, cache), maker(t, cache)]
  await Promise.all(makers.map((child) => child.said('half')))
  assert.equal(temporaries(cache).length, 2)
  for (const child of makers) child.stdin!.write('go\n')
  const path = join(cache, folder, 'x.bin')
  await Promise.all(makers.map((child) => Promise.all([child.said(`done ${path}\n`), once(child, 'exit')])))
  assert.equal(await readFile(path, 'utf8'), 'first second')
  assert.deepEqual(await readdir(join(cache, folder)), ['x.bin'])
})

test('kill -9 in the middle: no half file, and its remains go away', { timeout: 30_000 }, async (t) => {
  const cache = await temporaryDirectory(t)
  const [killed, alive] = [maker(t, cache), maker(t, cache)]
  await Promise.all([killed.said('half'), alive.said('half')])
  const exit = once(killed, 'exit')
  killed.kill('SIGKILL')
  await exit
  assert.equal(temporaries(cache).length, 2)
  assert.equal(temporaries(cache).length, readdirSync(join(cache, folder)).length)

  const path = await derived(cache, hash, 'x.bin', (temporary) => writeFile(temporary, 'first second'))
  assert.equal(await readFile(path, 'utf8'), 'first second')
  // What the living process writes is left alone.
  assert.deepEqual(
    temporaries(cache).map((name) => name.includes(`.${alive.pid}.`)),
    [true],
  )
  alive.stdin!.write('go\n')
  await alive.said('done')
  assert.deepEqual(await readdir(join(cache, folder)), ['x.bin'])
})

test('temporary files of other machines go away after a day', async (t) => {
  const cache = await temporaryDirectory(t)
  const directory = join(cache, folder)
  await mkdir(directory)
  const fresh = 'x.bin.00000000.1.11111111-1111-1111-1111-111111111111.tmp'
  const stale = 'x.bin.00000000.1.22222222-2222-2222-2222-222222222222.tmp'
  const foreign = 'somebody-elses.tmp'
  for (const name of [fresh, stale, foreign]) await writeFile(join(directory, name), '')
  const twoDaysAgo = new Date(Date.now() - 2 * 24 * 3600 * 1000)
  for (const name of [stale, foreign]) await utimes(join(directory, name), twoDaysAgo, twoDaysAgo)
  await derived(cache, hash, 'y.bin', (temporary) => copyFile(import.meta.filename, temporary))
  assert.deepEqual((await readdir(directory)).sort(), [foreign, fresh, 'y.bin'].sort())
})
