import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { constants, getPriority } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ConstraintChecks, type Declared } from '../src/index.ts'

const checks = new ConstraintChecks()
after(() => checks[Symbol.dispose]())

const schema = (schema: unknown): Declared => ({ type: 'json_schema', schema })
const refused = (declared: Declared, message: RegExp, with_ = checks) =>
  assert.rejects(with_.check(declared), { name: 'ConstraintError', message })

test('what compiles passes, everything else is refused with its reason; many at once', async () => {
  await Promise.all([
    checks.check(schema({ type: 'object' })),
    checks.check({ type: 'regex', pattern: 'a+' }),
    refused(schema({ items: { not: {} } }), /^items: "not"/),
    refused({ type: 'regex', pattern: '(' }, /unclosed/),
    // It compiles, and nothing can be said under it.
    refused(schema({ $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } }), /./),
  ])
  await checks.check(schema({ type: 'object' }))
})

test('what takes too long is refused, and holds up no timer of this thread', async () => {
  using strict = new ConstraintChecks({ cpuMs: 20 })
  const properties = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`property ${i}`, { type: 'integer' }]))
  const large = schema({ type: 'object', properties, additionalProperties: false })
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  await refused(large, /ms to compile; at most 20 are allowed/, strict)
  clearInterval(timer)
  assert.ok(turns > 0)
})

test('a check that does not end is ended, and another thread takes over', async () => {
  using short = new ConstraintChecks({ cpuMs: 600_000, mostMs: 1 })
  const names = Array.from({ length: 4000 }, (_, i) => [`property ${i}`, { type: 'integer' }])
  const endless = schema({ type: 'object', properties: Object.fromEntries(names), additionalProperties: false })
  await refused(endless, /more than 1 ms/, short)
  await short.check(schema({ type: 'string' }))
})

test('a check that takes long goes on with a low priority, and the next one has an ordinary one', {
  skip:
    process.platform === 'linux' && getPriority() < constants.priority.PRIORITY_LOW
      ? false
      : 'threads have no priorities of their own there, or the lowest is that of all',
}, async () => {
  using patient = new ConstraintChecks({ cpuMs: 600_000, mostMs: 600_000 })
  const properties = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`property ${i}`, { type: 'integer' }]))
  const withProperties = (count: number) =>
    patient.check(schema({ type: 'object', properties: properties(count), additionalProperties: false }))
  // Threads of the tests before end by and by.
  await lowThreadsEnd()
  let isOver = false
  const long = withProperties(4000).then(() => {
    isOver = true
  })
  let low = 0
  while (!isOver) {
    low = Math.max(low, lowThreads())
    await sleep(5)
  }
  await long
  assert.equal(low, 1)
  await withProperties(3)
  await lowThreadsEnd()
})

async function lowThreadsEnd(): Promise<void> {
  for (let i = 0; i < 1000 && lowThreads() > 0; i++) await sleep(5)
  assert.equal(lowThreads(), 0)
}

/** How many threads of this process have the lowest priority. */
function lowThreads(): number {
  const statistics = readdirSync('/proc/self/task').map((thread) => {
    try {
      return readFileSync(`/proc/self/task/${thread}/stat`, 'utf8')
    } catch {
      return ''
    }
  })
  // proc(5): field 19, counted behind the name, which may hold anything.
  return statistics.filter((text) => text.slice(text.lastIndexOf(')') + 2).split(' ')[16] === '19').length
}

test('neither the start of a thread counts nor the time in which others have the cores', {
  // Nothing there stops a process and lets it go on.
  skip: process.platform === 'win32',
}, async (t) => {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'checking.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  let said = ''
  for await (const piece of child.stdout) {
    said += piece
    if (said !== 'checking\n') continue
    // The thread is still starting.
    child.kill('SIGSTOP')
    await sleep(3200)
    child.kill('SIGCONT')
  }
  assert.equal(said, 'checking\npassed\n')
})

test('what is no data is refused', async () => {
  const circle: { items?: unknown } = {}
  circle.items = circle
  await refused(schema(circle), /no JSON/)
})

test('what is nested deeper than messages may be is refused, and the next one is checked', async () => {
  let deep: unknown = {}
  for (let i = 0; i < 3000; i++) deep = { items: deep }
  await Promise.all([refused(schema(deep), /nested too deeply/), checks.check(schema({ type: 'number' }))])
})

test('a check that is closed settles', async () => {
  const closing = new ConstraintChecks()
  const waiting = [1, 2, 3].map((minLength) => closing.check(schema({ type: 'string', minLength })))
  closing[Symbol.dispose]()
  const settled = await Promise.allSettled(waiting)
  assert.deepEqual(
    settled.map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  )
})
