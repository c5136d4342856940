import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { ClientError } from './client-error.ts'
import { RevisableText } from './revisable-text.ts'
import { streamChat } from './stream.ts'

type Handler = (request: IncomingMessage, response: ServerResponse, body: unknown) => void

/** A server for the length of the test; returns the address of its chat endpoint. */
async function serve(t: TestContext, handler: Handler): Promise<{ url: string; connections: () => number }> {
  let connections = 0
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part)
    handler(request, response, JSON.parse(Buffer.concat(parts).toString()))
  })
  server.on('connection', () => connections++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/v1/chat/completions`, connections: () => connections }
}

const chunk = (members: object) =>
  `data: ${JSON.stringify({ object: 'chat.completion.chunk', choices: [], ...members })}\n\n`
const content = (text: string, index = 0) => chunk({ choices: [{ index, delta: { content: text } }] })
const finish = (reason: string) => chunk({ choices: [{ index: 0, delta: {}, finish_reason: reason }] })
const DONE = 'data: [DONE]\n\n'

/** A server that answers every request with this stream. */
const streaming = (t: TestContext, ...events: string[]) =>
  serve(t, (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.end(events.join(''))
  })

const all = (url: string) => Array.fromAsync(streamChat(url, { model: 'm', messages: [] }))

const fails = (status: number, code: string, message: RegExp) => (error: unknown) =>
  error instanceof ClientError && error.status === status && error.code === code && message.test(error.message)

test('a reply arrives as deltas, tails and an end', async (t) => {
  const usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 }
  const { url } = await streaming(
    t,
    chunk({ choices: [{ index: 0, delta: { role: 'assistant', content: '' } }] }),
    chunk({
      provisional: { index: 0, rev: 1, base: 0, text: 'Hello there', tokens: 2, stability: 0.9, source: 'skim' },
    }),
    ': still here\n\n',
    content('Hello'),
    chunk({ provisional: { index: 0, rev: 2, base: 5, text: '', reason: 'mismatch' } }),
    content(' world'),
    finish('stop'),
    chunk({ usage, timings: { prompt_ms: 12.5, provisional_ms: null } }),
    DONE,
  )
  const events = await all(url)
  assert.deepEqual(events, [
    { type: 'provisional', rev: 1, base: 0, text: 'Hello there', tokens: 2, stability: 0.9, source: 'skim' },
    { type: 'delta', text: 'Hello' },
    { type: 'provisional', rev: 2, base: 5, text: '', reason: 'mismatch' },
    { type: 'delta', text: ' world' },
    { type: 'done', finishReason: 'stop', usage, timings: { prompt_ms: 12.5, provisional_ms: null } },
  ])
  const reply = new RevisableText()
  const shown = events.map((event) => {
    reply.apply(event)
    return String(reply)
  })
  assert.deepEqual(shown, ['Hello there', 'Hello there', 'Hello', 'Hello world', 'Hello world'])
})

test('other choices, other fields and null contents give no event', async (t) => {
  const { url } = await streaming(
    t,
    content('other', 1),
    chunk({ provisional: { index: 1, rev: 1, base: 0, text: 'other' } }),
    chunk({ provisional: { rev: 'one' } }),
    chunk({ choices: [{ index: 0, delta: { content: null, reasoning_content: 'hm' } }] }),
    chunk({
      choices: [
        { index: 1, delta: { content: 'b' }, finish_reason: 'length' },
        { index: 0, delta: { content: 'a' } },
      ],
    }),
    finish('stop'),
    DONE,
  )
  assert.deepEqual(await all(url), [
    { type: 'delta', text: 'a' },
    { type: 'done', finishReason: 'stop' },
  ])
})

test('a lossy reply says so, whichever chunk says it', async (t) => {
  const marks: [string[], boolean][] = [
    [[chunk({ lossy: true, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] })], true],
    [[finish('stop'), chunk({ lossy: true })], true],
    [[finish('stop'), chunk({ lossy: false })], false],
    [[finish('stop')], false],
  ]
  for (const [parts, lossy] of marks) {
    const { url } = await streaming(t, content('a'), ...parts, DONE)
    const done = { type: 'done', finishReason: 'stop', ...(lossy ? { lossy } : {}) }
    assert.deepEqual(await all(url), [{ type: 'delta', text: 'a' }, done])
  }
})

test('the request is the body with stream switched on, and the headers given', async (t) => {
  let seen: unknown
  const { url } = await serve(t, (request, response, body) => {
    seen = { method: request.method, type: request.headers['content-type'], key: request.headers.authorization, body }
    response.end(finish('stop') + DONE)
  })
  const body = { model: 'm', messages: [], stream: false, stream_options: { include_provisional: true } }
  await Array.fromAsync(streamChat(url, body, { headers: { authorization: 'Bearer k' } }))
  assert.deepEqual(seen, { method: 'POST', type: 'application/json', key: 'Bearer k', body: { ...body, stream: true } })
})

test('a refusal carries the status, code, parameter and message of the server', async (t) => {
  const { url } = await serve(t, (_request, response) => {
    response.writeHead(400, { 'content-type': 'application/json' })
    response.end(
      JSON.stringify({ error: { message: 'stop: empty', type: 'invalid', code: 'invalid_request', param: 'stop' } }),
    )
  })
  await assert.rejects(
    all(url),
    (error) => fails(400, 'invalid_request', /^stop: empty$/)(error) && (error as ClientError).param === 'stop',
  )
})

test('a refusal in another shape still says what came', async (t) => {
  const bodies: [string, string, RegExp][] = [
    ['{"error":"busy"}', 'http_error', /^busy$/],
    ['{"code":"overloaded","message":"later"}', 'overloaded', /^later$/],
    ['{"error":{"message":"no","type":"api_error","code":null}}', 'api_error', /^no$/],
    ['<h1>Bad Gateway</h1>', 'http_error', /Bad Gateway/],
    ['', 'http_error', /Service Unavailable|503/],
  ]
  for (const [body, code, message] of bodies) {
    const { url } = await serve(t, (_request, response) => {
      response.writeHead(503)
      response.end(body)
    })
    await assert.rejects(all(url), fails(503, code, message), body)
  }
})

test('a failure in the stream ends it after the text that came before', async (t) => {
  const { url } = await streaming(
    t,
    content('a'),
    'data: {"error":{"code":"decode_failed","message":"lost"}}\n\n',
    DONE,
  )
  const events = streamChat(url, {})
  assert.deepEqual((await events.next()).value, { type: 'delta', text: 'a' })
  await assert.rejects(events.next(), fails(200, 'decode_failed', /lost/))
})

test('an event that is not JSON is named', async (t) => {
  const { url } = await streaming(t, 'data: {"choices"\n\n', DONE)
  await assert.rejects(all(url), fails(200, 'stream_error', /\{"choices"/))
})

test('a stream that ends early is a failure, one that only lacks [DONE] is not', async (t) => {
  const early = await streaming(t, content('a'))
  await assert.rejects(all(early.url), fails(200, 'incomplete_stream', /before the reply was finished/))
  const whole = await streaming(t, content('a'), finish('length'))
  assert.deepEqual((await all(whole.url)).at(-1), { type: 'done', finishReason: 'length' })
})

test('aborting ends the request with the reason of the signal', async (t) => {
  const closed = Promise.withResolvers<void>()
  const { url } = await serve(t, (_request, response) => {
    response.on('close', () => closed.resolve())
    response.write(content('a'))
  })
  const controller = new AbortController()
  const events = streamChat(url, {}, { signal: controller.signal })
  assert.deepEqual((await events.next()).value, { type: 'delta', text: 'a' })
  const reason = new Error('enough')
  const next = events.next()
  controller.abort(reason)
  await assert.rejects(next, reason)
  await closed.promise
})

test('a signal that is aborted already sends nothing', async (t) => {
  let requests = 0
  const { url } = await serve(t, () => requests++)
  await assert.rejects(Array.fromAsync(streamChat(url, {}, { signal: AbortSignal.abort() })), { name: 'AbortError' })
  assert.equal(requests, 0)
})

test('leaving the loop ends the request', async (t) => {
  const closed = Promise.withResolvers<void>()
  const { url } = await serve(t, (_request, response) => {
    response.on('close', () => closed.resolve())
    response.write(content('a'))
  })
  for await (const event of streamChat(url, {})) {
    assert.equal(event.type, 'delta')
    break
  }
  await closed.promise
})

test('replies in a row share a connection', async (t) => {
  const { url, connections } = await serve(t, (_request, response) => {
    response.write(content('a') + finish('stop') + DONE)
    void setTimeout(5).then(() => response.end())
  })
  for (let i = 0; i < 3; i++) {
    await all(url)
    // The end of the response is seen a moment before its connection is free again.
    await setTimeout(20)
  }
  assert.equal(connections(), 1)
})

const call = (index: number, piece: object) =>
  chunk({ choices: [{ index: 0, delta: { tool_calls: [{ index, ...piece }] } }] })

test('calls of tools are put together, and told only when all of them are whole', async (t) => {
  const calls = [
    call(0, { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '' } }),
    call(0, { function: { arguments: '{"city": ' } }),
    call(1, { id: 'call_b', type: 'function', function: { name: 'time', arguments: '' } }),
    call(0, { function: { arguments: '"Paris"}' } }),
    call(1, { function: { arguments: '{' } }),
  ]
  const whole = await streaming(t, ...calls, call(1, { function: { arguments: '}' } }), finish('tool_calls'), DONE)
  assert.deepEqual(await all(whole.url), [
    {
      type: 'done',
      finishReason: 'tool_calls',
      toolCalls: [
        { id: 'call_a', type: 'function', function: { name: 'weather', arguments: '{"city": "Paris"}' } },
        { id: 'call_b', type: 'function', function: { name: 'time', arguments: '{}' } },
      ],
    },
  ])
  const cut = await streaming(t, ...calls, finish('length'), DONE)
  assert.deepEqual(await all(cut.url), [{ type: 'done', finishReason: 'length' }])
})
