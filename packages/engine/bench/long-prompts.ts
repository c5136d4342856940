import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { Model } from '../src/llama/model.ts'
import { completionServer } from './completion-server.ts'
import { type Outcome, type Server, timed } from './drive.ts'
import { corpusText, type LoadRequest } from './load.ts'
import { median, quantile } from './numbers.ts'
import { peakMemory } from './peak-memory.ts'
import type { ServerProcess } from './server-process.ts'
import type { Settings } from './settings.ts'
import { defaultModel, requireFiles, threads } from './surroundings.ts'
import { table } from './table.ts'

// Long prompts beside llama-server, in turns: the first word, alone and beside replies that are being written; the longest
// gaps in those; peak memory. Prints a Markdown table; docs/benchmarks.md holds the last.
//
//   node packages/engine/bench/long-prompts.ts --llama-server PATH [--lengths 1500,4000,7500] [--runs 3]

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    'llama-server': { type: 'string' },
    lengths: { type: 'string', default: '1500,4000,7500' },
    // Replies that are written meanwhile.
    streams: { type: 'string', default: '2' },
    runs: { type: 'string', default: '3' },
  },
})
const program = values['llama-server']
const modelPath = values.model ?? defaultModel
requireFiles({ '--model': modelPath, '--llama-server': program })
const lengths = values.lengths.split(',').map(Number)
const streams = Number(values.streams)
const runs = Number(values.runs)
const settings = { model: modelPath, contextLength: 8192, threads, streams: streams + 1 }

const model = await Model.load(modelPath)
const text = model.vocab.tokenize(corpusText())
model[Symbol.dispose]()
// As long as the longest prompt takes, whatever computes it.
const enough = 4000

/** A prompt that nobody has seen. */
function promptOf(length: number, number: number): LoadRequest {
  const start = (number * 7919) % (text.length - 1)
  const prompt = Array.from({ length }, (_, i) => text[(start + i) % text.length]!)
  return { prompt, shared: 0, maxTokens: 1 }
}

interface Beside {
  readonly ttft: number
  readonly gaps: readonly number[]
}

/** A long prompt while replies are written: its first word, and the gaps between the words of the others from then on. */
async function beside(server: Server, long: LoadRequest, number: number): Promise<Beside> {
  const controller = new AbortController()
  const gaps: number[] = []
  let reading = false
  let begun = 0
  let allBegan = () => {}
  const writing = new Promise<void>((resolve) => (allBegan = resolve))
  const others = Array.from({ length: streams }, async (_, i) => {
    let last: number | undefined
    const request = { ...promptOf(40, number * 31 + i), maxTokens: enough, endless: true }
    await server
      .serve(
        request,
        () => {
          const now = performance.now()
          if (last === undefined && ++begun === streams) allBegan()
          if (reading && last !== undefined) gaps.push(now - last)
          last = now
        },
        controller.signal,
      )
      .catch((error: unknown) => {
        if (!controller.signal.aborted) throw error
      })
  })
  await writing
  reading = true
  const { ttft } = await timed(server, long, performance.now())
  reading = false
  controller.abort()
  await Promise.all(others)
  return { ttft, gaps }
}

interface Contender {
  readonly name: string
  readonly server: Server
  readonly process: ServerProcess
}

async function open(name: string, own: Settings): Promise<Contender> {
  const server = await completionServer(own)
  return { name, server, process: server.process }
}

const rows: (string | number)[][] = []
for (const [k, length] of lengths.entries()) {
  await using stack = new AsyncDisposableStack()
  const contenders = [
    await open('incipit serve', { ...settings, engine: 'incipit serve' }),
    await open('llama-server', { ...settings, engine: 'llama-server', program: program! }),
  ]
  for (const { server } of contenders) stack.use(server)
  const alone = contenders.map((): Outcome[] => [])
  const among = contenders.map((): Beside[] => [])
  for (let run = 0; run < runs; run++) {
    for (let turn = 0; turn < contenders.length; turn++) {
      const i = (run + turn) % contenders.length
      const { server } = contenders[i]!
      const number = 1 + 2 * (k * runs + run)
      alone[i]!.push(await timed(server, promptOf(length, number), performance.now()))
      among[i]!.push(await beside(server, promptOf(length, number + 1), number))
    }
    console.error(`${length} tokens: run ${run + 1} of ${runs}`)
  }
  for (const [i, { name, process }] of contenders.entries()) {
    const gaps = among[i]!.flatMap((one) => one.gaps)
    rows.push([
      length,
      name,
      median(alone[i]!.map(({ ttft }) => ttft)).toFixed(0),
      median(among[i]!.map(({ ttft }) => ttft)).toFixed(0),
      quantile(gaps, 0.5).toFixed(1),
      quantile(gaps, 0.95).toFixed(0),
      Math.max(...gaps).toFixed(0),
      (peakMemory(process.pid) / 2 ** 20).toFixed(0),
    ])
  }
  const ratio = (of: (i: number, run: number) => number) =>
    median(Array.from({ length: runs }, (_, run) => of(0, run) / of(1, run))).toFixed(2)
  rows.push([
    length,
    'ratio',
    ratio((i, run) => alone[i]![run]!.ttft),
    ratio((i, run) => among[i]![run]!.ttft),
    ratio((i, run) => quantile(among[i]![run]!.gaps, 0.5)),
    ratio((i, run) => quantile(among[i]![run]!.gaps, 0.95)),
    ratio((i, run) => Math.max(...among[i]![run]!.gaps)),
    (peakMemory(contenders[0]!.process.pid) / peakMemory(contenders[1]!.process.pid)).toFixed(2),
  ])
}
console.log(`## Long prompts (${cpus()[0]?.model}, ${threads} threads, medians of ${runs} runs)\n`)
const beginning = `beside ${streams} replies ms`
table(
  [
    'tokens',
    'server',
    'first word alone ms',
    beginning,
    'their gaps p50 ms',
    'p95 ms',
    'longest ms',
    'peak memory MiB',
  ],
  rows,
)
