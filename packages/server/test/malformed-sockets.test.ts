import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { WebSocket } from 'ws'
import { sized } from '../../engine/test/fixtures/test-size.ts'
import { jsonSchemaOf } from '../src/described-as.ts'
import { clientEvents } from '../src/realtime/client-events.ts'
import { responsesBody } from '../src/responses/responses-body.ts'
import { Companion } from './companion.ts'
import { assertFree, chatStories, loaded, missing } from './models.ts'
import { awkward, damaged, valuesOf } from './schema-values.ts'
import { type Served, serve } from './serve.ts'

// Bytes that are no HTTP, frames that are none, and events that nobody understands, while somebody else's reply streams.

const skip = missing(chatStories)
const timeout = 600_000
const engine = loaded(chatStories, { contextLength: 96, parallel: 4 })

/** What comes back on a connection until the server closes it, or says nothing more. */
async function exchange({ port }: Served, pieces: readonly (string | Uint8Array)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  // The server may close while this writes.
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  for (const piece of pieces) socket.write(piece)
  // Time for an answer: whoever ends a connection does not wait for one.
  await Promise.race([closed, sleep(20)])
  socket.end()
  await closed
  return Buffer.concat(chunks).toString('latin1')
}

/** Every answer in it is one of the client's making. */
function assertRefused(said: string, sent: unknown): void {
  const statuses = [...said.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
  for (const status of statuses) assert.ok(status < 500, `${status} to ${JSON.stringify(sent)}`)
}

const json = JSON.stringify({ prompt: 'Once', max_tokens: 3 })
const sound = [
  `POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${json.length}\r\n\r\n${json}`,
  `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"a":\r\n0\r\n\r\n`,
  'GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
  upgrade('/v1/realtime'),
  upgrade('/v1/responses'),
]

function upgrade(path: string): string {
  const key = randomBytes(16).toString('base64')
  return `GET ${path} HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`
}

const bytes = fc.uint8Array({ maxLength: 60 })
const request = fc.oneof(
  bytes.map((some) => [some]),
  // A request of which a part is something else.
  fc.tuple(fc.constantFrom(...sound), fc.nat(), fc.nat(12), bytes).map(([text, place, length, put]) => {
    const at = place % text.length
    return [text.slice(0, at), put, text.slice(at + length)]
  }),
  // Frames that are none, behind a handshake that is one.
  fc
    .tuple(fc.constantFrom('/v1/realtime', '/v1/responses'), fc.array(bytes, { maxLength: 4 }))
    .map(([path, frames]) => [upgrade(path), ...frames]),
)

test('bytes that are no requests, and frames that are none', { skip, timeout }, async (t) => {
  const server = await serve(t, engine())
  const companion = await Companion.of(server)
  const property = fc.asyncProperty(request, async (pieces) => assertRefused(await exchange(server, pieces), pieces))
  await companion.undisturbed(() => fc.assert(property, { numRuns: sized(2400) }))
  assert.equal((await server.get('/health')).status, 200)
  await assertFree(engine())
})

/** A socket, and what came back on it, which is JSON in every frame. */
async function open(server: Served, path: string) {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}${path}`)
  const events: { type: string; error?: { code: string; type: string } }[] = []
  socket.on('message', (data, isBinary) => {
    assert.equal(isBinary, false)
    events.push(JSON.parse(String(data)))
  })
  await once(socket, 'open')
  return { socket, events }
}

const realtimeEvents = fc
  .constantFrom(...(Object.keys(clientEvents) as (keyof typeof clientEvents)[]))
  .chain((type) => valuesOf(jsonSchemaOf(clientEvents[type])).map((event) => ({ ...(event as object), type })))
const responseEvents = valuesOf(jsonSchemaOf(responsesBody)).map((body) => ({
  ...(body as object),
  type: 'response.create',
}))

/** An event as text, often damaged; also bytes. */
function framesOf(events: fc.Arbitrary<object>): fc.Arbitrary<string | Uint8Array> {
  return fc.oneof(
    { weight: 8, arbitrary: events.chain(damaged).map((event) => JSON.stringify(event)) },
    { weight: 1, arbitrary: awkward.map((value) => JSON.stringify(value)) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
    { weight: 1, arbitrary: bytes },
  )
}

for (const [path, events] of [
  ['/v1/realtime', realtimeEvents],
  ['/v1/responses', responseEvents],
] as const) {
  test(`${path}: events that nobody understands`, { skip, timeout }, async (t) => {
    const server = await serve(t, engine())
    const companion = await Companion.of(server)
    const property = fc.asyncProperty(fc.array(framesOf(events), { minLength: 1, maxLength: 8 }), async (frames) => {
      const { socket, events } = await open(server, path)
      for (const frame of frames) socket.send(frame)
      // It may be answered, refused, or cut off in the middle of a reply.
      await sleep(5)
      assert.equal(socket.readyState, WebSocket.OPEN, 'what is malformed ends no socket')
      for (const { type, error } of events) if (type === 'error') assert.equal(error!.type, 'invalid_request_error')
      socket.close()
      await once(socket, 'close')
    })
    await companion.undisturbed(() => fc.assert(property, { numRuns: sized(600) }))
    await assertFree(engine())
  })
}
