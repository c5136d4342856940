import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { bundle } from './bundle.ts'

test('all of the client is under 6 kB, minified and gzipped', { timeout: 60_000 }, async () => {
  const code = await bundle('all.ts', "import * as client from '@incipit/client'; globalThis.client = client")
  assert.match(code, /response\.create/)
  const { length } = gzipSync(code, { level: 9 })
  assert.ok(length < 6000, `${length} bytes`)
})
