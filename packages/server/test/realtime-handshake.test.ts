import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { RealtimeClient } from './realtime-client.ts'
import { fakeRealtimeEngine } from './realtime-fake.ts'
import { type Chunk, type Served, serve } from './serve.ts'

const timeout = 60_000
const hi = says(delta('Hello'), done())

/** How the server refuses to open a socket. */
async function refused(
  server: Served,
  options: { headers?: Record<string, string>; protocols?: string[]; query?: string } = {},
): Promise<{ status: number; code: string }> {
  const { headers, protocols = [], query = '' } = options
  const url = `${server.url.replace('http', 'ws')}/v1/realtime${query}`
  const socket = new WebSocket(url, protocols, headers ? { headers } : {})
  socket.on('error', () => {})
  const [, response] = await once(socket, 'unexpected-response')
  const wire: Socket = response.socket
  let body = ''
  for await (const chunk of response) body += chunk
  // Not left open: nobody would ever close it.
  if (!wire.destroyed) await once(wire, 'close')
  return { status: response.statusCode, code: (JSON.parse(body) as Chunk).error!.code }
}

test('the key comes in a header or as a subprotocol', { timeout }, async (t) => {
  const server = await serve(t, fakeRealtimeEngine(hi), { apiKey: 'sesame' })
  const ways = [
    { headers: { authorization: 'Bearer sesame' } },
    { protocols: ['bearer.sesame'] },
    { protocols: ['realtime', 'bearer.sesame'] },
  ]
  for (const way of ways) {
    const client = await RealtimeClient.open(server, way)
    assert.equal(client.socket.protocol, way.protocols?.[0] ?? '')
    assert.equal((await client.ask('Hi')).text, 'Hello')
    await client.close()
  }
})

test('without the key, with a wrong one or with one in the address there is no socket', { timeout }, async (t) => {
  const engine = fakeRealtimeEngine(hi)
  const server = await serve(t, engine, { apiKey: 'sesame' })
  const wrong = { status: 401, code: 'invalid_api_key' }
  assert.deepEqual(await refused(server), wrong)
  assert.deepEqual(await refused(server, { query: '?api_key=sesame' }), wrong)
  assert.deepEqual(await refused(server, { protocols: ['bearer.open'] }), wrong)
  assert.deepEqual(await refused(server, { protocols: ['sesame'] }), wrong)
  const headers = { authorization: 'Bearer open' }
  assert.deepEqual(await refused(server, { headers, protocols: ['bearer.sesame'] }), wrong)
  assert.equal(engine.inputs.length, 0)
})

test('the subprotocol is no key for other routes', { timeout }, async (t) => {
  const server = await serve(t, fakeRealtimeEngine(hi), { apiKey: 'sesame' })
  const answer = await server.get('/v1/models', { headers: { 'sec-websocket-protocol': 'bearer.sesame' } })
  assert.equal(answer.status, 401)
})

test('pages of other origins are kept out unless cors lets them in', { timeout }, async (t) => {
  const server = await serve(t, fakeRealtimeEngine(hi))
  for (const origin of ['https://example.com', 'null', `http://127.0.0.1:${server.port + 1}`, 'http://127.0.0.1']) {
    const headers = { origin }
    assert.deepEqual(await refused(server, { headers }), { status: 403, code: 'origin_refused' }, origin)
  }
  const own = await RealtimeClient.open(server, { headers: { origin: server.url } })
  await own.close()
  const open = await serve(t, fakeRealtimeEngine(hi), { cors: true })
  const foreign = await RealtimeClient.open(open, { headers: { origin: 'https://example.com' } })
  await foreign.close()
})

test('an engine without open inputs has no socket', { timeout }, async (t) => {
  const server = await serve(t, fakeEngine(hi))
  assert.deepEqual(await refused(server), { status: 400, code: 'unsupported' })
})

test('plain HTTP is told what this is', { timeout }, async (t) => {
  const server = await serve(t, fakeRealtimeEngine(hi))
  const get = await server.get('/v1/realtime')
  assert.equal(get.status, 400)
  assert.equal(get.headers.get('upgrade'), 'websocket')
  assert.match(((await get.json()) as Chunk).error!.message, /WebSocket/)
  const post = await server.post('/v1/realtime', {})
  assert.equal(post.status, 405)
  assert.equal(post.headers.get('allow'), 'GET, HEAD')
})

test('a socket to another route gets an answer of HTTP', { timeout }, async (t) => {
  const server = await serve(t, fakeRealtimeEngine(hi))
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/models`)
  socket.on('error', () => {})
  const [, response] = await once(socket, 'unexpected-response')
  assert.equal(response.statusCode, 200)
  socket.terminate()
})

test('a request that offers another upgrade, as some HTTP clients do, is answered as usual', {
  timeout,
}, async (t) => {
  const server = await serve(t, fakeRealtimeEngine(hi))
  const sent = request({
    port: server.port,
    method: 'POST',
    path: '/v1/chat/completions',
    headers: {
      'content-type': 'application/json',
      connection: 'Upgrade, HTTP2-Settings',
      upgrade: 'h2c',
      'http2-settings': 'AAMAAABkAARAAAAAAAIAAAAA',
    },
  })
  sent.end(JSON.stringify({ messages: [{ role: 'user', content: 'Hi' }] }))
  const [response] = await once(sent, 'response')
  let body = ''
  for await (const chunk of response) body += chunk
  assert.equal(response.statusCode, 200)
  assert.equal((JSON.parse(body) as Chunk).choices[0]!.message!.content, 'Hello')
})
