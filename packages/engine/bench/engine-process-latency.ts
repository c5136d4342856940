import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { EngineApi, GenerateRequest } from '../src/api/index.ts'
import { Engine } from '../src/engine.ts'
import { Outgoing } from '../src/process/host/outgoing.ts'
import { SpawnedEngine } from '../src/process/index.ts'
import { LineSplitter } from '../src/process/lines.ts'
import { decodeFromChild } from '../src/process/protocol.ts'
import { SupervisedRequest } from '../src/process/supervised-request.ts'
import { median, quantile } from './numbers.ts'
import { table } from './table.ts'

// What it costs that an engine runs in a process of its own: microseconds per event on each side, and the same replies in a
// child and in this process, in turns. Only worth something on a machine with nothing else to do. Prints Markdown tables.
//
//   node packages/engine/bench/engine-process-latency.ts [--model FILE] [--threads N] [--rounds N] [--events N]

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    threads: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '7' },
    events: { type: 'string', default: '1000000' },
  },
})
const models = process.env.INCIPIT_MODELS ?? join(import.meta.dirname, '../../../../shared/models')
const path = values.model ?? join(models, 'SmolLM2-135M-Instruct.Q4_1.gguf')
if (!existsSync(path)) {
  console.error(`no model at ${path}: name one with --model`)
  process.exit(2)
}
const tokensOfReply = 200

/** Microseconds per event on both sides, when a line holds the events of a step with so many streams. */
async function costOfEvents(events: number, streams: number): Promise<[child: number, parent: number]> {
  const lines: Buffer[] = []
  const out = new Outgoing((line) => lines.push(Buffer.from(line)))
  let began = performance.now()
  for (let i = 0; i < events; i += streams) {
    for (let id = 1; id <= streams; id++) {
      out.say({ type: 'event', id, event: { type: 'delta', text: ' word', tokens: 1 }, tokens: [1000 + (i % 40_000)] })
    }
    out.flush()
  }
  const child = performance.now() - began

  const host = { ready: true, send() {}, forget() {} }
  const requests = Array.from({ length: streams }, (_, i) => {
    return new SupervisedRequest({ id: i + 1, request: { prompt: 'x' }, signal: undefined }, host)
  })
  const readers = requests.map(async (request) => {
    let tokens = 0
    for await (const event of request) if (event.type === 'delta') tokens += event.tokens
    return tokens
  })
  const splitter = new LineSplitter()
  began = performance.now()
  for (const chunk of lines) {
    for (const line of splitter.push(chunk)) {
      for (const message of decodeFromChild(line)) {
        if (message.type === 'event') requests[message.id - 1]!.take(message.event, message.tokens)
      }
    }
    // As between two chunks of a pipe: readers read.
    await undefined
  }
  for (const request of requests) request.fail(new Error('over'))
  await Promise.allSettled(readers)
  return [(1000 * child) / events, (1000 * (performance.now() - began)) / events]
}

interface Run {
  /** Milliseconds until all streams were done. */
  readonly totalMs: number
  /** Per stream: milliseconds from the engine's own first committed text to its arrival. */
  readonly behindMs: readonly number[]
}

async function run(engine: EngineApi, streams: number, seed: number): Promise<Run> {
  const began = performance.now()
  const one = async (index: number) => {
    const request: GenerateRequest = {
      prompt: `Story number ${seed * 100 + index}: once upon a time`,
      maxTokens: tokensOfReply,
      minTokens: tokensOfReply,
      temperature: 1,
      seed: seed * 100 + index,
      proposers: [],
      cachePrompt: false,
    }
    const sent = performance.now()
    let first: number | undefined
    for await (const event of engine.generate(request)) {
      if (event.type === 'delta') first ??= performance.now() - sent
      if (event.type === 'done') return first! - event.timings.committedMs!
    }
    throw new Error('a reply without end')
  }
  const behindMs = await Promise.all(Array.from({ length: streams }, (_, index) => one(index)))
  return { totalMs: performance.now() - began, behindMs }
}

await costOfEvents(100_000, 8)
const costs: (string | number)[][] = []
for (const streams of [1, 8, 64]) {
  const [child, parent] = await costOfEvents(Number(values.events), streams)
  costs.push([streams, child.toFixed(2), parent.toFixed(2)])
}
console.log(`Microseconds per event, ${values.events} events:\n`)
table(['events in a line', 'child', 'parent'], costs)

const options = { threads: Number(values.threads), cut: 'none', contextLength: 512 } as const
await using own = await Engine.load(path, options)
await using spawned = await SpawnedEngine.start(path, options)
const rows: (string | number)[][] = []
for (const streams of [1, 8]) {
  const inProcess: Run[] = []
  const inChild: Run[] = []
  // The first round warms both up.
  for (let round = 0; round <= Number(values.rounds); round++) {
    const pair = [
      async () => inProcess.push(await run(own, streams, round)),
      async () => inChild.push(await run(spawned, streams, round)),
    ]
    for (const turn of round % 2 === 0 ? pair : pair.reverse()) await turn()
  }
  const measured = [inProcess.slice(1), inChild.slice(1)] as const
  const [ownMs, childMs] = measured.map((runs) => median(runs.map(({ totalMs }) => totalMs)))
  const behind = measured[1].flatMap(({ behindMs }) => behindMs)
  rows.push([
    streams,
    ownMs!.toFixed(1),
    childMs!.toFixed(1),
    `${(100 * (childMs! / ownMs! - 1)).toFixed(2)} %`,
    quantile(behind, 0.5).toFixed(2),
    quantile(behind, 0.9).toFixed(2),
  ])
}
console.log(`Replies of ${tokensOfReply} tokens, medians of ${values.rounds} rounds in turns:\n`)
table(['streams', 'in process, ms', 'in a child, ms', 'more', 'first text behind the engine, p50 ms', 'p90 ms'], rows)
