import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { page } from '../page.ts'

const timeout = 60_000

async function filesOf(folder: string): Promise<Map<string, Buffer>> {
  const names = (await readdir(folder)).sort()
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)))
}

async function built(t: TestContext): Promise<Map<string, Buffer>> {
  const folder = await mkdtemp(join(tmpdir(), 'incipit-page-'))
  t.after(() => rm(folder, { recursive: true }))
  const root = join(import.meta.dirname, '..')
  await build({ root, configFile: join(root, 'vite.config.ts'), logLevel: 'error', build: { outDir: folder } })
  return filesOf(folder)
}

test('the built page is that of the sources: npm run build -w @incipit/playground', { timeout }, async (t) => {
  const [now, kept] = [await built(t), await filesOf(page)]
  assert.deepEqual([...kept.keys()], [...now.keys()])
  for (const [name, bytes] of now) assert.ok(bytes.equals(kept.get(name)!), `${name} is another`)
})

/** Gzipped bytes of a file and of all that it always loads. */
function weight(files: ReadonlyMap<string, Buffer>, ...names: string[]): number {
  const loaded = new Set<string>()
  const load = (name: string) => {
    if (loaded.has(name)) return
    loaded.add(name)
    const text = files.get(name)!.toString()
    for (const [, other] of text.matchAll(/(?:from|import)\s*["']\.\/([\w-]+\.js)["']/g)) load(other!)
  }
  for (const name of names) load(name)
  return [...loaded].reduce((sum, name) => sum + gzipSync(files.get(name)!, { level: 9 }).length, 0)
}

test('the page opens with less than 60 kB, and no pane needs more than 150 kB', async () => {
  const files = await filesOf(page)
  const opens = weight(files, 'index.html', 'page.js', 'index.css')
  assert.ok(opens < 60_000, `${opens} bytes`)
  for (const pane of ['race-pane.js', 'pipeline-pane.js', 'code-pane.js']) {
    // With a language, which an editor has.
    const size = weight(
      files,
      'index.html',
      'page.js',
      'index.css',
      pane,
      ...(pane === 'code-pane.js' ? ['javascript.js'] : []),
    )
    assert.ok(size > opens && size < 150_000, `${pane}: ${size} bytes`)
  }
})

test('it loads nothing from elsewhere, and runs nothing inline', async () => {
  const files = await filesOf(page)
  const html = files.get('index.html')!.toString()
  assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)|<style|style=|\son\w+=/)
  for (const [name, bytes] of files) {
    if (name.endsWith('.css')) assert.doesNotMatch(bytes.toString(), /@import|url\(\s*["']?(?:https?:)?\/\//, name)
    if (name.endsWith('.html')) assert.doesNotMatch(bytes.toString(), /(?:src|href)="(?:https?:)?\/\//, name)
  }
})
