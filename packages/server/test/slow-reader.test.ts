import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { delta, done, fakeEngine } from './fake-engine.ts'
import { serve } from './serve.ts'

const timeout = 30_000
const EVENT = 64 * 1024
// What the kernel's socket buffers of both ends may take on a loopback connection, with room to spare.
const KERNEL = 32 * 1024 * 1024

test('a client that does not read stops the writing, and reading resumes it', { timeout }, async (t) => {
  const total = (4 * KERNEL) / EVENT
  let produced = 0
  const engine = fakeEngine(async function* () {
    for (; produced < total; produced++) yield delta('x'.repeat(EVENT))
    yield done()
  })
  const server = await serve(t, engine)
  const socket = connect(server.port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.pause()
  socket.write(request({ prompt: 'a', stream: true }))

  const stalled = await settled(() => produced)
  assert.ok(stalled > 0, 'the stream began')
  assert.ok(stalled * EVENT < KERNEL, `stalls after ${stalled} events of ${total}`)

  let received = 0
  socket.on('data', (data) => {
    received += data.length
  })
  socket.resume()
  await new Promise((resolve) => socket.once('close', resolve))
  assert.equal(produced, total)
  assert.ok(received > total * EVENT, 'everything arrives')
})

test('a client that stops reading and leaves frees the generation', { timeout }, async (t) => {
  const freed = Promise.withResolvers<void>()
  let produced = 0
  const engine = fakeEngine(async function* () {
    try {
      for (;;) {
        produced++
        yield delta('x'.repeat(EVENT))
      }
    } finally {
      freed.resolve()
    }
  })
  const server = await serve(t, engine)
  const socket = connect(server.port, '127.0.0.1')
  socket.pause()
  // Several choices wait for the same socket.
  socket.write(request({ prompt: 'a', stream: true, n: 8 }))
  await settled(() => produced)
  socket.destroy()
  await freed.promise
})

function request(body: object): string {
  const text = JSON.stringify(body)
  return (
    'POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n' +
    `content-length: ${text.length}\r\n\r\n${text}`
  )
}

/** The value once it has stood still for a while. */
async function settled(read: () => number): Promise<number> {
  for (let last = -1; ; ) {
    await sleep(150)
    if (read() === last && last > 0) return last
    last = read()
  }
}
