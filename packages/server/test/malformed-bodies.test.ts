import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ConstraintChecks } from '@incipit/constraint'
import compile from '@incipit/constraint/compiler'
import fc from 'fast-check'
import { full, sized } from '../../engine/test/fixtures/test-size.ts'
import { type DialectDescription, dialects } from '../src/openapi/dialects.ts'
import type { Dialect } from '../src/openapi/operation.ts'
import { loadedBert } from './bert.ts'
import { Companion } from './companion.ts'
import { assertFree, chatStories, loaded, missing } from './models.ts'
import { type OpenApi, openApiOf } from './openapi.ts'
import { damaged, valuesOf } from './schema-values.ts'
import { type Served, serve } from './serve.ts'

// Bodies for every POST route, made of the server's own description and then damaged, while somebody else's reply streams.

const skip = missing(chatStories)
const engine = loaded(chatStories, { contextLength: 96, parallel: 4, constraints: compile })
const embedder = loadedBert()
const constraints = new ConstraintChecks()
after(() => constraints[Symbol.dispose]())

/** Bodies that are sent at the same time. */
const atOnce = 4
const runs = sized(5000) / atOnce

interface Post {
  readonly path: string
  readonly statuses: ReadonlySet<number>
  readonly dialect: DialectDescription
  readonly bodies: fc.Arbitrary<string>
}

/** All routes that take bodies. */
function postsOf({ paths, components }: OpenApi): Post[] {
  return Object.entries(paths).flatMap(([path, { post }]) => {
    if (post === undefined) return []
    const { schema } = post.requestBody!.content['application/json']
    return {
      path: path.replace(/\{\w+\}/, 'x'),
      statuses: new Set(Object.keys(post.responses).map(Number)),
      dialect: dialects[post.tags[0] as Dialect],
      bodies: textsOf(valuesOf(schema, components.schemas)),
    }
  })
}

/** A body as text, one in eight of which is no JSON. */
function textsOf(values: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  const whole = values.chain(damaged).map((body) => JSON.stringify(urgent(body)))
  const cut = fc.tuple(whole, fc.nat(), fc.string({ unit: 'binary', maxLength: 3 }))
  return fc.oneof(
    { weight: 7, arbitrary: whole },
    { weight: 1, arbitrary: cut.map(([text, at, put]) => text.slice(0, at % (text.length + 1)) + put) },
  )
}

/** Jobs of the tier `batch` wait while anybody else computes, which somebody does all the time here. */
function urgent(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body
  const { tier, service_tier: service, ...rest } = body as Record<string, unknown>
  return { ...rest, ...(tier !== 'batch' && { tier }), ...(service !== 'flex' && { service_tier: service }) }
}

/** Sends a body, and asserts that the answer is one that the description has, and complete. */
async function assertAnswered(server: Served, { path, statuses, dialect }: Post, body: string): Promise<number> {
  const answer = await server.post(path, body)
  const text = await answer.text()
  const told = `${path} ${answer.status} ${text.slice(0, 300)}\n${body.slice(0, 1000)}`
  assert.ok(statuses.has(answer.status), told)
  // Nothing is overloaded here, and no model loads: of the documented ones there is no reason for any.
  assert.ok(answer.status < 500, told)
  if (answer.status !== 200) {
    const fits = dialect.error.safeParse(JSON.parse(text))
    assert.ok(fits.success, told)
  } else if (answer.headers.get('content-type')!.startsWith('application/json')) JSON.parse(text)
  else assert.ok(text.endsWith('\n'), told)
  return answer.status
}

/** Bytes of objects that this process holds. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}

/** How many sockets, timers and others keep this process alive, by their kinds. */
function handles(): Record<string, number> {
  const kinds = Map.groupBy(process.getActiveResourcesInfo(), (kind) => kind)
  return Object.fromEntries([...kinds].map(([kind, all]) => [kind, all.length]))
}

/** What is closed may take a moment to be gone. */
async function assertHandles(before: Record<string, number>): Promise<void> {
  const left = () => Object.entries(handles()).filter(([kind, count]) => count > (before[kind] ?? 0))
  for (let tries = 0; tries < 100 && left().length > 0; tries++) await sleep(50)
  assert.deepEqual(left(), [])
}

test('malformed bodies are answered as described, and disturb nobody', { skip, timeout: 1_200_000 }, async (t) => {
  // Its worker is there from the first check on.
  await constraints.check({ type: 'regex', pattern: 'a' })
  const before = handles()
  const server = await serve(t, engine(), { embedder: embedder(), constraints, bodyLimit: 64 * 1024 })
  const posts = postsOf(await openApiOf(server))
  assert.ok(posts.length > 15)
  const byPath = new Map(posts.map((post) => [post.path, post]))
  const one = fc.constantFrom(...byPath.keys()).chain((path) => fc.tuple(fc.constant(path), byPath.get(path)!.bodies))
  const seen = new Set<string>()
  const property = fc.asyncProperty(fc.array(one, { minLength: atOnce, maxLength: atOnce }), async (requests) => {
    const answered = requests.map(async ([path, body]) => {
      const status = await assertAnswered(server, byPath.get(path)!, body)
      seen.add(`${path} ${status === 200 ? 'taken' : 'refused'}`)
    })
    await Promise.all(answered)
  })
  const check = (numRuns: number) => fc.assert(property, { numRuns: Math.ceil(numRuns) })

  const companion = await Companion.of(server)
  // What is made once and kept is made now.
  await companion.undisturbed(() => check(runs / 4))
  const bytes = heldBytes()
  await companion.undisturbed(() => check(runs))
  await assertFree(engine())
  const grown = heldBytes() - bytes
  assert.ok(grown < 24e6, `${grown} bytes more than before`)
  await server.close()
  await assertHandles(before)

  // A test of refusals alone would show little. This model fills no gaps, and nobody saves slots.
  const always = ['/infill taken', '/slots/x taken']
  const expected = posts.flatMap(({ path }) => [`${path} taken`, `${path} refused`])
  const never = expected.filter((what) => !seen.has(what) && !always.includes(what))
  assert.ok(never.length <= (full ? 0 : 4), never.join())
})
