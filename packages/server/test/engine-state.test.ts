import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IncipitError } from '@incipit/engine/api'
import { fakeEngine } from './fake-engine.ts'
import { loaded, missing, stories } from './models.ts'
import { type Chunk, serve } from './serve.ts'

const engine = loaded(stories, { contextLength: 256, parallel: 1, maxWaiting: 1 })

function refuses(error: IncipitError) {
  return fakeEngine(() => {
    throw error
  })
}

test('an engine that has failed: every answer says so, and the health check is not ok', async (t) => {
  const failure = new IncipitError('engine_failed', 'a defect ended the engine: secret /home/me')
  const lines: string[] = []
  const server = await serve(
    t,
    { ...refuses(failure), failure },
    { apiKey: 'k', log: (level, message) => lines.push(`${level} ${message}`) },
  )
  const expected = {
    error: {
      message: 'a defect ended the engine; the log of the server has the details',
      type: 'server_error',
      param: null,
      code: 'engine_failed',
    },
  }
  const health = await server.get('/health')
  assert.equal(health.status, 503)
  assert.deepEqual(await health.json(), expected)
  assert.equal((await server.get('/health', { method: 'HEAD' })).status, 503)
  const headers = { authorization: 'Bearer k', 'content-type': 'application/json' }
  const answer = await server.post('/v1/completions', { prompt: 'Hi' }, { headers })
  assert.equal(answer.status, 500)
  assert.deepEqual(await answer.json(), expected)
  assert.ok(lines.some((line) => line.startsWith('error ') && line.includes('secret /home/me')))
})

test('an engine that fails later', async (t) => {
  const failing: { failure?: IncipitError } = {}
  const fake = refuses(new IncipitError('engine_failed', 'x'))
  const server = await serve(t, Object.defineProperty(fake, 'failure', { get: () => failing.failure }))
  assert.equal((await server.get('/health')).status, 200)
  failing.failure = new IncipitError('engine_failed', 'x')
  assert.equal((await server.get('/health')).status, 503)
})

test('more requests than may wait are told to come back', { skip: missing(stories) }, async (t) => {
  const server = await serve(t, engine(), { cors: true })
  const body = { prompt: 'Once upon a time', max_tokens: 100, temperature: 0 }
  const answers = await Promise.all(Array.from({ length: 6 }, () => server.post('/v1/completions', body)))
  const refused = answers.filter(({ status }) => status !== 200)
  assert.ok(refused.length > 0 && refused.length < answers.length, `${refused.length} were refused`)
  for (const answer of refused) {
    assert.equal(answer.status, 503)
    assert.equal(answer.headers.get('retry-after'), '1')
    assert.match(answer.headers.get('access-control-expose-headers')!, /retry-after/)
    assert.equal(((await answer.json()) as Chunk).error?.code, 'overloaded')
  }
})
