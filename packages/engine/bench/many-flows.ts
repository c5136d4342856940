import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { Model } from '../src/llama/model.ts'
import { type Contender, comparison, inTurns } from './compare.ts'
import type { Round } from './drive.ts'
import { EngineProcess } from './engine-process.ts'
import { type Figure, loadFigures, msPerToken, ratiosOf, requestsPerSecond } from './figures.ts'
import { arriving, corpusText, freshRequests, mixedRequests, repeatingRequests } from './load.ts'
import { median } from './numbers.ts'
import { installPeer } from './peer-node-llama-cpp.ts'
import { defaultModel, requireFiles, threads } from './surroundings.ts'
import { table } from './table.ts'

// Many flows at once: throughput, time to first token and inter-token latency of incipit and of node-llama-cpp under the
// same loads, in turns; and what speculation costs and gains. Prints Markdown tables; docs/benchmarks.md holds the last.

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    // Numbers of concurrent streams.
    streams: { type: 'string', default: '1,4,8,16' },
    rounds: { type: 'string' },
    // Requests per round; by default four per stream, 24 at least.
    requests: { type: 'string' },
    // closed, poisson or speculation.
    only: { type: 'string' },
    // Half of the requests, one round.
    quick: { type: 'boolean', default: false },
    // Also a closed loop whose prompts all begin with the same 400 tokens.
    'shared-prefix': { type: 'boolean', default: false },
    // This server instead of node-llama-cpp as the peer, and `incipit serve` beside it instead of the engine: both over
    // HTTP. build-llama-server.ts makes one.
    'llama-server': { type: 'string' },
    // Beside it also incipit without speculation.
    plain: { type: 'boolean', default: false },
    // Also node-llama-cpp with its other rule for filling batches.
    'first-in-first-out': { type: 'boolean', default: false },
  },
})
const modelPath = values.model ?? defaultModel
requireFiles({ '--model': modelPath })
const streamCounts = values.streams.split(',').map(Number)
const most = Math.max(...streamCounts)
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3))
const requestsFor = (streams: number) => Number(values.requests ?? Math.max(24, 4 * streams) / (values.quick ? 2 : 1))
const wanted = (part: string) => values.only === undefined || values.only === part
const settings = { model: modelPath, contextLength: 2048, threads }
// Arrivals per second, as a share of what the peer answered in the closed loop.
const openLoad = 0.6
const sharedTokens = 400

const model = await Model.load(modelPath)
const corpus = model.vocab.tokenize(corpusText())
model[Symbol.dispose]()
const program = values['llama-server']
if (values.only !== 'speculation' && program === undefined) installPeer()

const contenders = (streams: number): Contender[] => {
  if (program !== undefined) {
    const own = { ...settings, engine: 'incipit serve' as const, streams }
    const list: Contender[] = [
      { name: 'incipit serve', settings: own },
      { name: 'llama-server', settings: { ...settings, engine: 'llama-server', program, streams } },
    ]
    if (values.plain) list.push({ name: 'incipit serve, no speculation', settings: { ...own, plain: true } })
    return list
  }
  const peer = { ...settings, engine: 'node-llama-cpp' as const, streams }
  const list: Contender[] = [
    { name: 'incipit', settings: { ...settings, engine: 'incipit', streams } },
    { name: 'node-llama-cpp', settings: peer },
  ]
  if (values['first-in-first-out']) {
    list.push({ name: 'node-llama-cpp (FIFO)', settings: { ...peer, prioritisation: 'firstInFirstOut' } })
  }
  return list
}

const namesOf = (streams: number) => contenders(streams).map(({ name }) => name)

const setting = `${cpus()[0]?.model}, ${threads} threads, medians of ${rounds} rounds`
const print = (first: string, figures: readonly Figure[], rows: (string | number)[][]): void =>
  table([first, 'engine', ...figures.map(({ title }) => title)], rows)

/** What the peer answers with all streams busy, in requests per second. */
let capacity: number | undefined

async function closed(prefix: readonly number[]): Promise<void> {
  const rows: (string | number)[][] = []
  for (const streams of streamCounts) {
    const results = await inTurns(contenders(streams), rounds, (round) =>
      mixedRequests(corpus, round === 0 ? streams : requestsFor(streams), 100 * streams + round, prefix),
    )
    rows.push(...comparison(streams, namesOf(streams), results, loadFigures))
    if (prefix.length === 0 && streams === most) capacity = median(results[1]!.map(requestsPerSecond))
  }
  const shared = prefix.length === 0 ? '' : `, the first ${prefix.length} tokens of all prompts the same`
  console.log(`## Closed loop${shared} (${setting})\n`)
  print('streams', loadFigures, rows)
}

async function poisson(): Promise<void> {
  if (capacity === undefined) {
    const peer = contenders(most).slice(1, 2)
    const results = await inTurns(peer, 1, (round) => mixedRequests(corpus, round === 0 ? most : 4 * most, round))
    capacity = requestsPerSecond(results[0]![0]!)
  }
  const rate = openLoad * capacity
  const results = await inTurns(contenders(most), rounds, (round) => {
    const requests = mixedRequests(corpus, round === 0 ? most : requestsFor(most), 7000 + round)
    return round === 0 ? requests : arriving(requests, rate, round)
  })
  console.log(
    `## Poisson arrivals, ${rate.toFixed(2)} a second: ${100 * openLoad}% of ${namesOf(most)[1]}'s closed loop (${setting})\n`,
  )
  print('streams', loadFigures, comparison(most, namesOf(most), results, loadFigures))
}

async function speculation(): Promise<void> {
  const pairs = 9 * rounds
  // The first requests warm up: pages, and the statistics of the proposers.
  const warming = 3
  const rows: (string | number)[][] = []
  for (const [name, requests] of [
    ['says nothing twice', freshRequests],
    ['repeats its prompt', repeatingRequests],
  ] as const) {
    await using engine = await EngineProcess.start({ ...settings, engine: 'incipit', streams: 1 })
    // Each request runs three times, in an order that changes from request to request: with speculation and twice
    // without, for what two runs of the same thing differ by.
    const runs = [undefined, [], []]
    const order = (i: number) => runs.map((_, k) => (i + k) % runs.length)
    const { outcomes } = await engine.run(
      requests(corpus, warming + pairs, 1).flatMap((request, i) =>
        order(i).map((run) => ({ ...request, ...(runs[run] && { proposers: runs[run] }) })),
      ),
    )
    const results = runs.map((_, run) =>
      Array.from({ length: pairs }, (_, k) => {
        const i = warming + k
        return { outcomes: [outcomes[runs.length * i + order(i).indexOf(run)]!], ms: 0 }
      }),
    )
    const [on, off, again] = results as [Round[], Round[], Round[]]
    rows.push(...comparison(name, ['speculation on', 'speculation off'], [on, off], [msPerToken]))
    rows.push([name, 'off, again: ratio to off', ...ratiosOf([msPerToken], again, off)])
  }
  console.log(`## Speculation, one stream (${cpus()[0]?.model}, ${threads} threads, medians of ${pairs} requests)\n`)
  print('reply', [msPerToken], rows)
}

if (wanted('closed')) await closed([])
if (wanted('closed') && values['shared-prefix']) await closed(corpus.slice(0, sharedTokens))
if (wanted('poisson')) await poisson()
if (wanted('speculation')) await speculation()
