import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { IncipitError } from '@incipit/engine/api'
import { fakeEngine, says } from '../../../test/fake-engine.ts'
import type { PoolOptions } from './model-pool.ts'
import { ModelPool } from './model-pool.ts'
import type { PooledEngine, PoolModel } from './pool-model.ts'

/** Models that take a byte each, and what became of them, in order. */
function pool(models: Partial<PoolModel>[], options: Partial<PoolOptions> = {}) {
  const history: string[] = []
  const limits = new Map<string, number>()
  const computing = new Map<string, (computing: boolean) => void>()
  const specs = models.map((model, i): PoolModel => {
    const name = model.name ?? 'abcdef'[i]!
    const start = async (onComputing: (computing: boolean) => void): Promise<PooledEngine> => {
      computing.set(name, onComputing)
      await sleep(1)
      history.push(`+${name}`)
      return {
        ...fakeEngine(says()),
        limitThreads: (most) => limits.set(name, most),
        async close() {
          await sleep(1)
          history.push(`-${name}`)
        },
      }
    }
    return { name, weights: 1, idleMs: Number.POSITIVE_INFINITY, start, ...model }
  })
  return { pool: new ModelPool(specs, { memory: 10, cores: 4, ...options }), history, limits, computing }
}

async function touch(pool: ModelPool, ...names: string[]): Promise<void> {
  for (const name of names) {
    using _used = await pool.use(name)
  }
}

test('a model is loaded once, when it is first wanted', async () => {
  const { pool: models, history } = pool([{}, {}])
  await Promise.all([touch(models, 'a'), touch(models, 'a')])
  await touch(models, 'a')
  assert.deepEqual(history, ['+a'])
  assert.deepEqual(
    models.list().map(({ status }) => status),
    ['loaded', 'unloaded'],
  )
  await models.close()
  assert.deepEqual(history, ['+a', '-a'])
})

test('names, aliases and none', async () => {
  const { pool: models } = pool([{ aliases: ['x', 'y'] }, {}])
  const nameOf = async (asked: string | undefined) => {
    using model = await models.use(asked)
    return model.name
  }
  assert.equal(await nameOf('y'), 'a')
  assert.equal(await nameOf('b'), 'b')
  assert.equal(await nameOf(undefined), 'a')
  await assert.rejects(nameOf('z'), { code: 'model_not_found', param: 'model', message: /"a", "b"/ })
  assert.equal(models.loaded(undefined), undefined)
  assert.ok(models.loaded('x'))
  assert.throws(() => pool([{ aliases: ['b'] }, {}]), { code: 'invalid_request', message: /"b"/ })
  assert.throws(() => pool([]), { code: 'invalid_request' })
})

test('the only model answers to every name, unless it is strict', async () => {
  const { pool: easy } = pool([{}])
  await touch(easy, 'z')
  assert.ok(easy.loaded(undefined))
  await assert.rejects(touch(pool([{}], { strict: true }).pool, 'z'), { code: 'model_not_found' })
})

test('the longest unused model gives its memory, and a pinned one never', async () => {
  const { pool: models, history } = pool([{ pinned: true }, {}, {}, {}], { memory: 3 })
  await touch(models, 'a', 'b', 'c', 'b', 'd')
  assert.deepEqual(history, ['+a', '+b', '+c', '-c', '+d'])
  await touch(models, 'c')
  assert.deepEqual(history.slice(5), ['-b', '+c'])
})

test('what does not fit beside those that stay is refused, and unloads nobody', async () => {
  const { pool: models, history } = pool([{ pinned: true }, {}, { weights: 3 }], { memory: 3 })
  await touch(models, 'a', 'b')
  await assert.rejects(touch(models, 'c'), { code: 'context_memory', message: /needs/ })
  assert.deepEqual(history, ['+a', '+b'])
})

test('a model in use is unloaded when its requests have ended, and new ones wait for the other', async () => {
  const { pool: models, history } = pool([{}, {}], { memory: 1 })
  const first = await models.use('a')
  const second = touch(models, 'b')
  await sleep(5)
  assert.deepEqual(history, ['+a'])
  // Behind the one that waits for its memory.
  const third = touch(models, 'a')
  first[Symbol.dispose]()
  await Promise.all([second, third])
  assert.deepEqual(history, ['+a', '-a', '+b', '-b', '+a'])
})

test('two models that take turns serve everybody', async () => {
  const { pool: models } = pool([{}, {}], { memory: 1 })
  const all = Array.from({ length: 20 }, (_, i) => touch(models, i % 2 === 0 ? 'a' : 'b'))
  await Promise.all(all)
})

test('an unused model is unloaded after its time, and comes again', async () => {
  const { pool: models, history } = pool([{ idleMs: 10 }, { idleMs: 10, pinned: true }])
  await touch(models, 'a', 'b')
  while (history.length < 3) await sleep(5)
  const held = await models.use('a')
  await sleep(30)
  assert.deepEqual(history, ['+a', '+b', '-a', '+a'])
  held[Symbol.dispose]()
  held[Symbol.dispose]()
  while (history.length < 5) await sleep(5)
})

test('who goes while he waits loads nothing, and what he was loading is unloaded again', async () => {
  const { pool: models, history } = pool([{}, { idleMs: 5 }], { memory: 1 })
  const first = await models.use('a')
  const controller = new AbortController()
  const waiting = models.use('b', controller.signal)
  controller.abort(new Error('gone'))
  await assert.rejects(waiting, /gone/)
  first[Symbol.dispose]()
  await touch(models, 'a')
  assert(!history.includes('+b') || history.includes('-b'))
})

test('a model that cannot be loaded fails those who wait, and is tried again for others', async () => {
  let tries = 0
  const start = async () => {
    tries++
    throw new IncipitError('model_invalid', 'broken')
  }
  const { pool: models } = pool([{ start }, {}])
  await assert.rejects(touch(models, 'a'), { code: 'model_invalid' })
  await assert.rejects(touch(models, 'a'), { code: 'model_invalid' })
  assert.equal(tries, 2)
  await touch(models, 'b')
})

test('when the machine has not enough memory, models that may leave do, and it is tried again', async () => {
  const { pool: models, history } = pool([{}, {}, {}])
  const { pool: tight, history: tightHistory } = pool([
    {},
    {
      async start() {
        if (!tightHistory.includes('-a')) throw new IncipitError('context_memory', 'full')
        tightHistory.push('+b')
        return { ...fakeEngine(says()), limitThreads: () => {}, close: async () => {} }
      },
    },
  ])
  await touch(tight, 'a', 'b')
  assert.deepEqual(tightHistory, ['+a', '-a', '+b'])
  await touch(models, 'a', 'b', 'c')
  assert.deepEqual(history, ['+a', '+b', '+c'])
})

test('models that compute at once share the cores', async () => {
  const { pool: models, limits, computing } = pool([{}, {}])
  await touch(models, 'a', 'b')
  computing.get('a')!(true)
  computing.get('b')!(true)
  assert.deepEqual([...limits].sort(), [
    ['a', 2],
    ['b', 2],
  ])
  computing.get('b')!(false)
  assert.equal(limits.get('a'), 4)
})

test('a closed pool serves nobody', async () => {
  const { pool: models } = pool([{}])
  await touch(models, 'a')
  await models.close()
  await assert.rejects(touch(models, 'a'), { code: 'closed' })
})

test('a guest keeps a model only while he uses it, and leaves when it is unloaded', async () => {
  const { pool: models, history } = pool([{ idleMs: 5 }, {}], { memory: 1 })
  const left: string[] = []
  const idle = await models.use('a')
  idle.stay(() => left.push('idle'))
  while (history.length < 2) await sleep(5)
  assert.deepEqual([history, left], [['+a', '-a'], ['idle']])
  idle[Symbol.dispose]()

  const busy = await models.use('a')
  const guest = busy.stay(() => left.push('busy'))
  const first = guest.use()
  const second = guest.use()
  const other = touch(models, 'b')
  await sleep(20)
  first()
  first()
  await sleep(5)
  assert.deepEqual([history.slice(2), left], [['+a'], ['idle']])
  second()
  await other
  assert.deepEqual(
    [history.slice(3), left],
    [
      ['-a', '+b'],
      ['idle', 'busy'],
    ],
  )
  busy[Symbol.dispose]()
})

test('a guest who goes while he uses a model gives it back, and one who comes when it is to go leaves at once', async () => {
  const { pool: models, history } = pool([{}, {}], { memory: 1 })
  const left: string[] = []
  const held = await models.use('a')
  const gone = await models.use('a')
  gone.stay(() => left.push('gone')).use()
  const other = touch(models, 'b')
  await sleep(5)
  gone[Symbol.dispose]()
  held.stay(() => left.push('late'))
  await other
  assert.deepEqual([history, left], [['+a', '-a', '+b'], ['late']])
})

test('whoever follows a model is told which engine it has, and keeps none', async () => {
  const { pool: models, history } = pool([{ idleMs: 5 }, {}])
  const told: boolean[] = []
  const stop = models.follow('a', (engine) => told.push(engine !== undefined))
  assert.deepEqual([told, history], [[false], []])
  await touch(models, 'a')
  while (history.length < 2) await sleep(5)
  assert.deepEqual(told, [false, true, false])
  stop()
  await touch(models, 'a')
  assert.equal(told.length, 3)
  assert.throws(() => models.follow('z', () => {}), { code: 'model_not_found' })
})
