import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { full } from '../../engine/test/fixtures/test-size.ts'
import { delta, done, guess, says } from '../../server/test/fake-engine.ts'
import { fakeRealtimeEngine } from '../../server/test/realtime-fake.ts'
import { serve } from '../../server/test/serve.ts'

const run = promisify(execFile)
const script = new URL('./elsewhere.ts', import.meta.url).pathname
const runtimes = {
  deno: ['run', '--quiet', '--no-config', '--allow-net', '--allow-env', script],
  bun: ['run', script],
}

for (const [name, args] of Object.entries(runtimes)) {
  const missing = full
    ? spawnSync(name, ['--version']).status !== 0 && `${name} is not installed`
    : 'runs with npm run test:full'
  test(`the client runs in ${name}`, { skip: missing, timeout: 60_000 }, async (t) => {
    const { url } = await serve(t, fakeRealtimeEngine(says(guess(1, 0, 'Good'), delta('Good day'), done())))
    const { stdout } = await run(name, [...args, url])
    assert.deepEqual(JSON.parse(stdout), ['Good day', 'Good day', 'stop'])
  })
}
