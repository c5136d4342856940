import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { IgnoredFiles } from './ignored.ts'
import { relatedChunks } from './related-files.ts'

const current = { path: 'a.ts', text: 'class Basket { total() { return sumOf(prices) } }', cursor: 20 }
const file = (path: string, text: string, touched = 0) => ({ path, text, cursor: 0, touched })

test('files with words in common, in the order of their paths, within the budget', () => {
  const files = [
    file('z.ts', 'export function sumOf(prices: number[]) {}'),
    file('b.ts', 'interface Basket { prices: number[] }'),
    file('c.ts', 'nothing alike here'),
    current as never,
  ]
  assert.deepEqual(
    relatedChunks(current, files, 1000).map(({ source }) => source),
    ['b.ts', 'z.ts'],
  )
  assert.equal(relatedChunks(current, files, 50).length, 1)
  assert.deepEqual(relatedChunks(current, files, 0), [])
})

test('of a long file the lines around its cursor, without secrets', () => {
  const text = `${'x\n'.repeat(500)}const password = "hunter2hunter2" // of the Basket\n${'y\n'.repeat(500)}`
  const [chunk] = relatedChunks(current, [{ path: 'b.ts', text, cursor: 1000, touched: 0 }], 1000)
  assert.ok(chunk!.text.includes('const password = "***"'))
  assert.ok(chunk!.text.split('\n').length <= 31)
})

test('what git ignores is no context, in nested folders, and neither is what lies outside', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'incipit-ignored-'))
  t.after(() => rm(root, { recursive: true }))
  await mkdir(join(root, 'sub'))
  await writeFile(join(root, '.gitignore'), 'dist/\n*.log\n')
  await writeFile(join(root, 'sub', '.gitignore'), '/local.ts\n!keep.log\n')
  const ignored = new IgnoredFiles(root)
  const kept = ['a.ts', 'sub/a.ts', 'sub/deep/local.ts', 'local.ts']
  const out = ['dist/a.ts', 'a.log', 'sub/local.ts', 'sub/dist/x.ts', 'node_modules/a/index.ts', '.git/config']
  for (const path of kept) assert.ok(!ignored.has(join(root, path)), path)
  for (const path of out) assert.ok(ignored.has(join(root, path)), path)
  assert.ok(ignored.has(join(root, '..', 'other.ts')))
})
