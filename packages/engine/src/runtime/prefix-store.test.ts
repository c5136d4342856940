import assert from 'node:assert/strict'
import { readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { temporaryDirectory } from '../../test/fixtures/gguf.ts'
import { PrefixStore } from './prefix-store.ts'

const hash = 'ab'.repeat(32)
type Options = Parameters<typeof PrefixStore.open>[0]

/** A cache directory with its store, and what the store logged. */
async function cache(t: TestContext) {
  const cacheDir = await temporaryDirectory(t)
  const logged: string[] = []
  const open = (options: Partial<Options> = {}) =>
    PrefixStore.open({
      cacheDir,
      hash,
      cells: 'f16',
      stages: [
        [0, 8],
        [8, 30],
      ],
      maxBytes: 1000,
      log: (level, message) => logged.push(`${level}: ${message}`),
      ...options,
    })
  const directory = join(cacheDir, hash.slice(0, 16))
  const files = async () => (await readdir(directory).catch(() => [])).filter((name) => name.startsWith('prefix-'))
  return { open, logged, directory, files }
}

/** Writes state files of this many bytes. */
const rows =
  (bytes = 100) =>
  (stage: number, path: string) =>
    writeFile(path, `${stage}`.repeat(bytes))

test('a prefix comes back after a restart: tokens, salt and one file per stage', async (t) => {
  const { open } = await cache(t)
  const store = await open()
  assert.deepEqual(store.list(), [])
  assert.equal(await store.save('agent: "é" / ..', { tokens: [1, 2, 3], salt: 'key 1' }, rows()), true)
  for (const again of [store, await open()]) {
    const prefix = (await again.load('agent: "é" / ..'))!
    assert.deepEqual([prefix.tokens, prefix.salt, prefix.bytes], [[1, 2, 3], 'key 1', 200])
    assert.deepEqual(await Promise.all(prefix.files.map((file) => readFile(file, 'utf8'))), [
      '0'.repeat(100),
      '1'.repeat(100),
    ])
    assert.deepEqual(again.list(), [prefix])
    assert.equal(await again.load('other'), undefined)
  }
})

test('saving again replaces, removing removes, and nothing of the former is left on disk', async (t) => {
  const { open, files } = await cache(t)
  const store = await open()
  await store.save('a', { tokens: [1, 2], salt: '' }, rows())
  await store.save('b', { tokens: [1, 2], salt: '' }, rows())
  await store.save('a', { tokens: [1, 2, 3], salt: 'x' }, rows(50))
  assert.deepEqual(
    store.list().map(({ name, tokens, salt, bytes }) => [name, tokens.length, salt, bytes]),
    [
      ['a', 3, 'x', 100],
      ['b', 2, '', 200],
    ],
  )
  assert.equal((await files()).length, 6)
  await store.remove('a')
  await store.remove('a')
  assert.deepEqual((await open()).list(), [(await store.load('b'))!])
  await store.remove('b')
  assert.deepEqual(await files(), [])
})

test('another model, cut, type of cells: another set of prefixes', async (t) => {
  const { open } = await cache(t)
  await (await open()).save('a', { tokens: [1], salt: '' }, rows())
  for (const other of [
    { hash: 'cd'.repeat(32) },
    { hash: `${hash.slice(0, 16)}${'0'.repeat(48)}` },
    { cells: 'q8_0' },
    { stages: [[0, 30]] },
  ] as const) {
    const store = await open(other)
    assert.deepEqual(store.list(), [], JSON.stringify(other))
    assert.equal(await store.load('a'), undefined)
    await store.save('a', { tokens: [7], salt: '' }, rows(1))
  }
  assert.deepEqual((await (await open()).load('a'))!.tokens, [1])
})

test('damaged files are named in the log once, removed, and the others stay', async (t) => {
  const { open, logged, files, directory } = await cache(t)
  const store = await open()
  const names = ['sound', 'short', 'missing', 'garbled', 'other']
  for (const name of names) await store.save(name, { tokens: [1], salt: '' }, rows(10))
  const fileOf = (name: string) => store.list().find((prefix) => prefix.name === name)!.files[1]!
  await truncate(fileOf('short'), 5)
  await rm(fileOf('missing'))
  const manifests = (await files()).filter((name) => name.endsWith('.json'))
  for (const name of manifests) {
    const path = join(directory, name)
    const text = await readFile(path, 'utf8')
    if (text.includes('"garbled"')) await writeFile(path, text.slice(0, -20))
    if (text.includes('"other"')) await writeFile(path, text.replace(/prefix-/g, '../prefix-'))
  }
  const again = await open()
  assert.deepEqual(
    again.list().map(({ name }) => name),
    ['sound'],
  )
  assert.equal(logged.length, 4)
  for (const line of logged) assert.match(line, /^warn: a saved prefix is removed: .*\.json: /)
  await open()
  assert.equal(logged.length, 4, 'said once')
  assert.equal((await files()).filter((name) => name.endsWith('.json')).length, 1)
  // The first store finds out when it is asked.
  assert.equal(await store.load('short'), undefined)
  assert.ok(await store.load('sound'))
})

test('when space runs out the least recently used goes first', async (t) => {
  const { open, directory, files } = await cache(t)
  const store = await open()
  for (const name of ['a', 'b', 'c', 'd']) await store.save(name, { tokens: [1], salt: '' }, rows(100))
  // Years ago, in the order of their names.
  for (const path of (await files()).filter((name) => name.endsWith('.json'))) {
    const { name } = JSON.parse(await readFile(join(directory, path), 'utf8'))
    const used = new Date(Date.UTC(2020, 0, name.charCodeAt(0) - 96))
    await utimes(join(directory, path), used, used)
  }
  await store.load('a')
  await store.save('e', { tokens: [1], salt: '' }, rows(150))
  assert.deepEqual(
    store.list().map(({ name }) => name),
    ['a', 'c', 'd', 'e'],
  )
  assert.equal(await store.save('large', { tokens: [1], salt: '' }, rows(501)), false)
  assert.equal(await store.load('large'), undefined)
  assert.equal(store.list().length, 4)
  assert.equal((await files()).length, 3 * 4)
})

test('a save that fails changes nothing', async (t) => {
  const { open, files } = await cache(t)
  const store = await open()
  await store.save('a', { tokens: [1], salt: '' }, rows())
  const failing = async (stage: number, path: string) => {
    await rows()(stage, path)
    if (stage === 1) throw new Error('disk full')
  }
  await assert.rejects(store.save('a', { tokens: [2], salt: '' }, failing), /disk full/)
  assert.deepEqual((await store.load('a'))!.tokens, [1])
  const left = (await files()).filter((name) => name.endsWith('.kv'))
  assert.ok(left.length <= 3)
  assert.throws(() => store.save('', { tokens: [1], salt: '' }, rows()), { code: 'invalid_request' })
  assert.throws(() => store.save('x'.repeat(201), { tokens: [1], salt: '' }, rows()), { code: 'invalid_request' })
})

test('state files that no manifest names are removed when they are old', async (t) => {
  const { open, files, directory } = await cache(t)
  const store = await open()
  await store.save('a', { tokens: [1], salt: '' }, rows())
  for (const [name, hours] of [
    ['prefix-00-0.kv', 2],
    ['prefix-11-0.kv', 0],
  ] as const) {
    await writeFile(join(directory, name), 'rows')
    const at = new Date(Date.now() - hours * 3_600_000)
    await utimes(join(directory, name), at, at)
  }
  await open()
  assert.deepEqual(
    (await files()).filter((name) => /-(00|11)-/.test(name)),
    ['prefix-11-0.kv'],
  )
  assert.ok((await stat((await store.load('a'))!.files[0]!)).isFile())
})

test('saves, loads and removals at once run one after the other', async (t) => {
  const { open, files } = await cache(t)
  const store = await open()
  await Promise.all([
    ...[1, 2, 3].map((token) => store.save('a', { tokens: [token], salt: '' }, rows(10))),
    store.load('a'),
    store.save('b', { tokens: [1], salt: '' }, rows(10)),
    store.remove('b'),
  ])
  assert.deepEqual(
    store.list().map(({ name, tokens }) => [name, ...tokens]),
    [['a', 3]],
  )
  assert.equal((await files()).length, 3)
})
