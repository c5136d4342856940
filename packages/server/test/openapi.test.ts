import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test } from 'node:test'
import { errorCodes, IncipitError } from '@incipit/engine/api'
import { createConfig, lintFromString } from '@redocly/openapi-core'
import type { FastifyInstance } from 'fastify'
import { ServerError } from '../src/errors.ts'
import { createServer, serverErrorCodes } from '../src/index.ts'
import { dialects } from '../src/openapi/dialects.ts'
import { openApiPath } from '../src/openapi/document.ts'
import { delta, done, fakeEngine, says } from './fake-engine.ts'
import { type OpenApi, openApiOf } from './openapi.ts'
import { serve } from './serve.ts'

const engine = () => fakeEngine(says(delta('x'), done()))

/** A server, and every route that was registered in it. */
function watched(): { app: FastifyInstance; routes: { method: string; url: string }[] } {
  const routes: { method: string; url: string }[] = []
  const watch = (message: unknown) => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRoute', ({ method, url }) => {
      for (const one of [method].flat()) routes.push({ method: one, url })
    })
  }
  subscribe('fastify.initialization', watch)
  const app = createServer(engine())
  unsubscribe('fastify.initialization', watch)
  return { app, routes }
}

test('every route that is registered is described, and every one that is described is registered', async (t) => {
  const { app, routes } = watched()
  t.after(() => app.close())
  await app.ready()
  const { paths } = (await app.inject('/openapi.json')).json<OpenApi>()
  const described = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const answered: string[] = []
  for (const { method, url } of routes) {
    // One comes with every GET, the other only where all methods are refused.
    if (method === 'HEAD' || method === 'QUERY') continue
    // Where a page would be.
    if (url === '/') continue
    const answer = await app.inject({ method: method as 'GET', url: url.replace(/:\w+|\*/, 'x') })
    // Some are registered only to be refused.
    const refused = answer.statusCode === 405 || answer.body.includes('no such route')
    if (!refused) answered.push(`${method} ${openApiPath(url)}`)
  }
  assert.ok(answered.length > 35)
  assert.deepEqual(described.toSorted(), answered.toSorted())
})

test('the description is sound by a linter’s word', async (t) => {
  for (const options of [{}, { apiKey: 'secret' }]) {
    const headers = { authorization: 'Bearer secret' }
    const server = await serve(t, engine(), options)
    const source = await (await server.get('/openapi.json', { headers })).text()
    const config = await createConfig({
      extends: ['recommended-strict'],
      rules: {
        // Where a server listens is not its own to say, and one route does nothing but refuse.
        'no-empty-servers': 'off',
        'operation-2xx-response': 'off',
        // Bodies of other protocols are as those protocols have them.
        'no-ambiguous-paths': 'off',
      },
    })
    const problems = await lintFromString({ source, config })
    assert.deepEqual(
      problems.map(({ ruleId, message, location }) => `${ruleId} ${message} ${location[0]?.pointer ?? ''}`),
      [],
    )
  }
})

test('it says what is refused, how long lists are, and which values there are', async (t) => {
  const document = await openApiOf(await serve(t, engine()))
  const chat = document.components.schemas.createChatCompletion as { properties: Record<string, object> }
  const { properties } = chat
  assert.deepEqual(Object.keys(properties.tools!), ['anyOf'])
  assert.match(JSON.stringify(properties.audio), /Not supported/)
  assert.match(JSON.stringify(properties.messages), /"enum":\["system","developer","user","assistant","tool"\]/)
  assert.match(JSON.stringify(properties.messages), /"minItems":1/)
  assert.match(JSON.stringify(properties.stop), /"maxItems":16/)
  assert.deepEqual((chat as { required?: string[] }).required, ['messages'])
})

test('errors of each dialect have the shape that is described', () => {
  for (const [name, { errorOf, error }] of Object.entries(dialects)) {
    const codes = Object.keys(errorCodes) as (keyof typeof errorCodes)[]
    const serverCodes = Object.keys(serverErrorCodes) as (keyof typeof serverErrorCodes)[]
    const thrown = [
      ...codes.map((code) => new IncipitError(code, 'what is wrong', { param: 'x' })),
      ...serverCodes.map((code) => new ServerError(code, 'what is wrong')),
      new Error('a defect'),
    ]
    for (const failure of thrown) {
      const result = error.safeParse(errorOf(failure, 'req_1').body)
      assert.ok(result.success, `${name} ${failure.message} ${result.error}`)
    }
  }
})

test('with a key, everything but the health check wants it', async (t) => {
  const server = await serve(t, engine(), { apiKey: 'secret' })
  assert.equal((await server.get('/openapi.json')).status, 401)
  const { security, paths } = await openApiOf(server, { authorization: 'Bearer secret' })
  assert.deepEqual(security, [{ bearer: [] }, { key: [] }])
  const open = Object.entries(paths).filter(([, operations]) => operations.get?.security)
  assert.deepEqual(
    open.map(([path]) => path),
    ['/health'],
  )
})
