// Two engines under load at once: tokens per second of both together, with all compute threads each and with the cores
// shared, beside one engine alone that has as much to say. `node two-models.ts [model] [tokens]`
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { SpawnedEngine } from '@incipit/engine/spawn'
import { ModelPool, type PoolModel } from '../src/index.ts'
import { pathOf, smol } from '../test/models.ts'

const { positionals } = parseArgs({ allowPositionals: true })
const [model = pathOf(smol), count = '200'] = positionals
const tokens = Number(count)
const cores = availableParallelism()

async function reply(engine: Pick<SpawnedEngine, 'generate'>, maxTokens: number): Promise<void> {
  const request = { prompt: 'Once upon a time', maxTokens, temperature: 1, seed: 1, proposers: [] }
  for await (const _event of engine.generate(request)) {
    // Only its time matters.
  }
}

/** Tokens per second of replies that run at once. */
async function rate(replies: readonly (() => Promise<void>)[], each: number): Promise<number> {
  const start = performance.now()
  await Promise.all(replies.map((reply) => reply()))
  return (1000 * each * replies.length) / (performance.now() - start)
}

async function unshared(engines: number): Promise<number> {
  const all = await Promise.all(Array.from({ length: engines }, () => SpawnedEngine.start(model, { cut: 'none' })))
  try {
    return await rate(
      all.map((engine) => () => reply(engine, tokens)),
      tokens,
    )
  } finally {
    await Promise.all(all.map((engine) => engine.close()))
  }
}

async function shared(): Promise<number> {
  const spec = (name: string): PoolModel => ({
    name,
    weights: 0,
    idleMs: Number.POSITIVE_INFINITY,
    start: (onComputing) => SpawnedEngine.start(model, { cut: 'none', onComputing }),
  })
  await using pool = new ModelPool([spec('a'), spec('b')], { memory: Number.POSITIVE_INFINITY })
  using a = await pool.use('a')
  using b = await pool.use('b')
  return await rate(
    [a, b].map(
      ({ engine }) =>
        () =>
          reply(engine as SpawnedEngine, tokens),
    ),
    tokens,
  )
}

const rows: [what: string, measure: () => Promise<number>][] = [
  [`one engine, ${cores} threads`, () => unshared(1)],
  [`two engines, ${cores} threads each`, () => unshared(2)],
  [`two engines of a pool, which share ${cores} cores`, shared],
]
console.log(`| ${tokens} tokens each | tokens/s together |\n|---|--:|`)
for (const [what, measure] of rows) console.log(`| ${what} | ${(await measure()).toFixed(1)} |`)
