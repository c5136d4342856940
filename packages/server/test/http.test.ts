import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { type Chunk, type Served, serve } from './serve.ts'

const chat = { messages: [{ role: 'user', content: 'Hi' }] }
const engine = () => fakeEngine(says(delta('Hello'), done()))

async function assertError(answer: Response, status: number, code: string, param: string | null = null) {
  assert.equal(answer.status, status)
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json/)
  const { error } = (await answer.json()) as Chunk
  assert.deepEqual(Object.keys(error!).sort(), ['code', 'message', 'param', 'type'])
  assert.equal(error!.code, code)
  assert.equal(error!.param, param)
  assert.equal(error!.type, status < 500 ? 'invalid_request_error' : 'server_error')
  assert.ok(error!.message.length > 0)
}

test('health and models', async (t) => {
  const server = await serve(t, engine(), { modelName: 'org/model' })
  assert.deepEqual(await (await server.get('/health')).json(), { status: 'ok' })
  const list = (await (await server.get('/v1/models')).json()) as { object: string; data: { created: number }[] }
  assert.ok(Math.abs(Date.now() / 1000 - list.data[0]!.created) < 60)
  const { created } = list.data[0]!
  const status = { value: 'loaded' }
  const card = { id: 'org/model', object: 'model', created, owned_by: 'incipit', aliases: [], status }
  assert.deepEqual(list, { object: 'list', data: [card] })
  for (const path of ['/v1/models/org/model', '/v1/models/org%2Fmodel']) {
    assert.deepEqual(await (await server.get(path)).json(), card)
  }
  await assertError(await server.get('/v1/models/gpt-4'), 404, 'model_not_found', 'model')
  assert.equal((await server.get('/health', { method: 'HEAD' })).status, 200)
})

test('what is no request of this API is answered in JSON', async (t) => {
  const server = await serve(t, engine(), { bodyLimit: 1000 })
  const post = (body: string, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
    server.post('/v1/chat/completions', body, { headers })
  await assertError(await server.get('/nowhere'), 404, 'not_found')
  await assertError(await server.get('/v1/chat'), 404, 'not_found')
  await assertError(await server.post('/nowhere', '{'), 404, 'not_found')
  await assertError(await server.get('/%c0%af'), 400, 'bad_request')
  await assertError(await post('{"messages": ['), 400, 'invalid_json')
  await assertError(await post(''), 400, 'invalid_json')
  await assertError(await post('{"__proto__": {"messages": []}}'), 400, 'invalid_json')
  await assertError(await post(JSON.stringify({ ...chat, user: 'x'.repeat(1000) })), 413, 'body_too_large')
  await assertError(await post(JSON.stringify(chat), { 'content-type': 'text/plain' }), 415, 'unsupported_media_type')
  await assertError(
    await post('a=b', { 'content-type': 'application/x-www-form-urlencoded' }),
    415,
    'unsupported_media_type',
  )
  for (const body of ['null', '[]', '"x"', '7', 'true']) await assertError(await post(body), 400, 'invalid_request')
})

test('a wrong method is refused with the right one, whatever the body says', async (t) => {
  const server = await serve(t, engine())
  const expectRefusal = async (answer: Response, allow: string) => {
    assert.equal(answer.headers.get('allow'), allow)
    await assertError(answer, 405, 'method_not_allowed')
  }
  await expectRefusal(await server.get('/v1/chat/completions'), 'POST')
  await expectRefusal(await server.get('/v1/completions', { method: 'DELETE' }), 'POST')
  await expectRefusal(await server.get('/v1/completions', { method: 'OPTIONS' }), 'POST')
  await expectRefusal(await server.post('/health', '{'), 'GET, HEAD')
  await expectRefusal(await server.post('/v1/models/fake-1b', {}), 'GET, HEAD')
})

test('bytes that are no HTTP get an HTTP error', async (t) => {
  const server = await serve(t, engine())
  assert.match(await raw(server, 'what is this\r\n\r\n'), /^HTTP\/1\.1 400 Bad Request\r\n.*"code":"bad_request"/s)
  const huge = `GET /health HTTP/1.1\r\nhost: x\r\nx-filler: ${'x'.repeat(40_000)}\r\n\r\n`
  assert.match(await raw(server, huge), /^HTTP\/1\.1 431 .*"code":"headers_too_large"/s)
  assert.equal((await server.get('/health')).status, 200, 'the server goes on')
})

test('with an API key every route but /health wants it', async (t) => {
  const server = await serve(t, engine(), { apiKey: 'sk-right' })
  const ask = (authorization?: string) =>
    server.get('/v1/models', authorization === undefined ? {} : { headers: { authorization } })
  assert.equal((await ask('Bearer sk-right')).status, 200)
  assert.equal((await ask('bearer sk-right')).status, 200)
  for (const wrong of [undefined, '', 'sk-right', 'Basic sk-right', 'Bearer', 'Bearer sk-wrong', 'Bearer sk-right x']) {
    await assertError(await ask(wrong), 401, 'invalid_api_key')
  }
  await assertError(await server.post('/v1/chat/completions', '{'), 401, 'invalid_api_key')
  await assertError(await server.get('/nowhere'), 401, 'invalid_api_key')
  assert.equal((await server.get('/health?x=1')).status, 200)
})

test('pages of other origins are let in only when asked for', async (t) => {
  const origin = 'https://example.org'
  const preflight = {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,x-stainless-os',
    },
  }
  const closed = await serve(t, engine())
  assert.equal((await closed.get('/health', { headers: { origin } })).headers.get('access-control-allow-origin'), null)
  assert.equal((await closed.get('/v1/completions', preflight)).status, 405)

  const open = await serve(t, engine(), { cors: true, apiKey: 'k' })
  const allowed = await open.get('/v1/completions', preflight)
  assert.equal(allowed.status, 204)
  assert.equal(allowed.headers.get('access-control-allow-origin'), '*')
  assert.equal(allowed.headers.get('access-control-allow-methods'), 'GET, POST, DELETE')
  assert.equal(allowed.headers.get('access-control-allow-headers'), 'authorization,x-stainless-os')
  const headers = { origin, authorization: 'Bearer k', 'content-type': 'application/json' }
  for (const stream of [false, true]) {
    const answer = await open.post('/v1/chat/completions', { ...chat, stream }, { headers })
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('access-control-allow-origin'), '*')
    assert.match(answer.headers.get('x-request-id')!, /^req_/)
    await answer.text()
  }
  const refused = await open.get('/v1/models', { headers: { origin } })
  assert.equal(refused.headers.get('access-control-allow-origin'), '*', 'a page can read the error')
  await assertError(refused, 401, 'invalid_api_key')
})

/** Sends bytes and returns what comes back until the server closes. */
function raw({ port }: Served, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    socket.setEncoding('utf8').on('data', (data) => {
      text += data
    })
    socket.on('error', reject).on('close', () => resolve(text))
  })
}
