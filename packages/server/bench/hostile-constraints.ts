import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import fc from 'fast-check'
import { hostile, schemas } from '../../constraint/test/schemas.ts'
import { quantile } from '../../engine/bench/numbers.ts'
import { ServerProcess } from '../../engine/bench/server-process.ts'
import { defaultModel, requireFiles, temporaryFolder } from '../../engine/bench/surroundings.ts'
import { table } from '../../engine/bench/table.ts'

// What schemas of strangers do to others: the gaps between the words of a stream beside requests with ordinary schemas, and
// beside as many with hostile ones (deep, wide, catastrophic patterns, huge bounds, circles), in turns. Each of them wants
// one token, so that what differs is what its schema costs.

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    seconds: { type: 'string', default: '30' },
    'per-second': { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '1' },
  },
})
const model = values.model ?? defaultModel
requireFiles({ '--model': model })
const threads = Number(values.threads)
await using server = await ServerProcess.incipit(model, { threads, contextLength: 4096, cacheDir: temporaryFolder() })

const post = (body: object) =>
  fetch(`${server.address}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

/** Gaps between the words of a stream until it is told to stop. */
async function gaps(until: () => boolean): Promise<number[]> {
  const found: number[] = []
  for (let seed = 1; !until(); seed++) {
    const body = { prompt: 'Once upon a time', max_tokens: 200, temperature: 1, seed, stream: true, speculate: false }
    const response = await post({ ...body, ignore_eos: true })
    let last: number | undefined
    for await (const part of response.body!) {
      if (!Buffer.from(part).includes('"text":"')) continue
      const now = performance.now()
      if (last !== undefined) found.push(now - last)
      last = now
      if (until()) break
    }
  }
  return found
}

interface Round {
  readonly gaps: readonly number[]
  readonly asked: number
  readonly refused: number
}

async function round(kind: fc.Arbitrary<object> | undefined, seed: number): Promise<Round> {
  const ms = 1000 * Number(values.seconds)
  const end = performance.now() + ms
  const stream = gaps(() => performance.now() > end)
  const count = kind ? Math.floor(Number(values.seconds) * Number(values['per-second'])) : 0
  const answers = (kind ? fc.sample(kind, { numRuns: count, seed }) : []).map(async (json_schema, i) => {
    await sleep((ms * i) / count)
    const { status, ok } = await post({ prompt: 'Hi', max_tokens: 1, json_schema })
    if (!ok && status !== 400 && status !== 422) throw new Error(`status ${status}`)
    return ok
  })
  const taken = await Promise.all(answers)
  return { gaps: await stream, asked: count, refused: taken.filter((ok) => !ok).length }
}

const kinds = { alone: undefined, ordinary: schemas, hostile }
const rounds = new Map<string, Round[]>(Object.keys(kinds).map((name) => [name, []]))
for (let i = 0; i < Number(values.rounds); i++) {
  for (const [name, kind] of Object.entries(kinds)) rounds.get(name)!.push(await round(kind, i))
}
const rows = [...rounds].map(([name, all]) => {
  const every = all.flatMap(({ gaps }) => gaps)
  const sum = (of: (round: Round) => number) => String(all.reduce((total, one) => total + of(one), 0))
  const ms = [0.5, 0.95, 0.99, 1].map((share) => quantile(every, share).toFixed(1))
  return [name, sum(({ asked }) => asked), sum(({ refused }) => refused), ...ms]
})
table(['beside', 'requests', 'refused', 'gap p50, ms', 'p95', 'p99', 'longest'], rows)
