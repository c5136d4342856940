import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nativeThreads } from './native-threads.ts'

test('native calls run on one thread for each device, unless the user has said otherwise', (t) => {
  const before = process.env.UV_THREADPOOL_SIZE
  t.after(() => {
    if (before === undefined) delete process.env.UV_THREADPOOL_SIZE
    else process.env.UV_THREADPOOL_SIZE = before
  })
  delete process.env.UV_THREADPOOL_SIZE
  assert.deepEqual(nativeThreads(undefined), { UV_THREADPOOL_SIZE: '1' })
  assert.deepEqual(nativeThreads(8), { UV_THREADPOOL_SIZE: '1' })
  assert.deepEqual(nativeThreads([4, 4]), { UV_THREADPOOL_SIZE: '2' })
  process.env.UV_THREADPOOL_SIZE = '6'
  assert.deepEqual(nativeThreads(8), { UV_THREADPOOL_SIZE: '6' })
})
