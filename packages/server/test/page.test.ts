import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fakeEngine, says } from './fake-engine.ts'
import { serve } from './serve.ts'

async function folder(t: TestContext, files: Record<string, string>): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'incipit-page-'))
  t.after(() => rm(path, { recursive: true }))
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text)
  return path
}

const html = '<!doctype html><title>page</title>'

test('the page is there without the key, and the API is not', async (t) => {
  const page = await folder(t, { 'index.html': html, 'page.js': 'run()', 'notes.txt': 'private' })
  const { get } = await serve(t, fakeEngine(says()), { page, apiKey: 'sesame' })
  const answer = await get('/')
  assert.equal(await answer.text(), html)
  assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8')
  assert.equal((await get('/page.js')).headers.get('content-type'), 'text/javascript; charset=utf-8')
  for (const path of ['/v1/models', '/notes.txt', '/../page.test.ts', '/index.html']) {
    assert.equal((await get(path)).status, 401, path)
  }
})

test('nothing from elsewhere may run in it', async (t) => {
  const { get } = await serve(t, fakeEngine(says()), { page: await folder(t, { 'index.html': html }) })
  const policy = (await get('/')).headers.get('content-security-policy')!
  for (const rule of ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"])
    assert.ok(policy.split('; ').includes(rule), rule)
  assert.doesNotMatch(policy, /unsafe|\*|https?:/)
})

test('a file is sent whole, compressed, or not again', async (t) => {
  const script = 'again();'.repeat(100)
  const page = await folder(t, { 'index.html': html, 'page.js': script })
  const { get } = await serve(t, fakeEngine(says()), { page })
  const plain = await get('/page.js', { headers: { 'accept-encoding': 'identity' } })
  assert.deepEqual([plain.headers.get('content-encoding'), await plain.text()], [null, script])
  const zipped = await get('/page.js', { headers: { 'accept-encoding': 'br, gzip' } })
  assert.deepEqual([zipped.headers.get('content-encoding'), await zipped.text()], ['gzip', script])
  const etag = plain.headers.get('etag')!
  const known = await get('/page.js', { headers: { 'if-none-match': etag } })
  assert.deepEqual([known.status, await known.text()], [304, ''])
})

test('without a page there is none, and it is not changed', async (t) => {
  const { get } = await serve(t, fakeEngine(says()), { apiKey: 'secret' })
  const running = await get('/')
  assert.deepEqual([running.status, await running.text()], [200, 'incipit is running\n'])
  assert.equal((await get('/', { method: 'HEAD' })).status, 200)
  const { post } = await serve(t, fakeEngine(says()), { page: await folder(t, { 'index.html': html }) })
  const answer = await post('/', {})
  assert.deepEqual([answer.status, answer.headers.get('allow')], [405, 'GET, HEAD'])
})
