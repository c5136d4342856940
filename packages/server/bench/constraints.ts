import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import compile from '@incipit/constraint/compiler'
import { Engine } from '@incipit/engine'
import type { ConstraintState } from '@incipit/engine/api'
import { median, quantile } from '../../engine/bench/numbers.ts'
import { ServerProcess } from '../../engine/bench/server-process.ts'
import { eventsOf } from '../../engine/bench/sse-events.ts'
import { defaultModel, requireFiles, temporaryFolder } from '../../engine/bench/surroundings.ts'
import { table } from '../../engine/bench/table.ts'
import { type Task, tasks } from './schemas.ts'

// Replies under fifty schemas, against unconstrained ones and against llama-server with the same schemas in the same run:
// greedy, one at a time, in turns. Prints Markdown tables; docs/benchmarks.md holds the last.

const { values } = parseArgs({
  options: {
    'llama-server': { type: 'string' },
    model: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
    /** Every how manieth task. */
    every: { type: 'string', default: '1' },
    'max-tokens': { type: 'string', default: '250' },
  },
})
const model = values.model ?? defaultModel
requireFiles({ '--model': model })
const maxTokens = Number(values['max-tokens'])
const folder = temporaryFolder()

interface Reply {
  readonly firstMs: number
  readonly totalMs: number
  readonly tokens: number
  readonly text: string
  readonly whole: boolean
  /** First provisional text, where there was any. */
  readonly shown?: { readonly ms: number; readonly text: string }
}

interface ChatEvent {
  readonly provisional?: { readonly text: string }
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string }
    readonly finish_reason?: string | null
  }[]
  readonly usage?: { readonly completion_tokens: number } | null
}

async function ask(server: ServerProcess, task: Task, constrained: boolean, provisional = false): Promise<Reply> {
  const body = {
    messages: [{ role: 'user', content: task.prompt }],
    temperature: 0,
    max_tokens: maxTokens,
    stream: true,
    cache_prompt: false,
    stream_options: { include_usage: true, ...(provisional && { include_provisional: true }) },
    ...(constrained && { json_schema: task.schema }),
  }
  // Threads of the one asked before still spin for a moment.
  await sleep(200)
  const began = performance.now()
  const response = await fetch(`${server.address}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${server.name}: ${task.name}: ${await response.text()}`)
  let [text, firstMs, tokens, finish] = ['', 0, 0, '']
  let shown: { ms: number; text: string } | undefined
  for await (const { provisional, choices, usage } of eventsOf<ChatEvent>(response.body!)) {
    if (provisional?.text) shown ??= { ms: performance.now() - began, text: provisional.text }
    const choice = choices?.[0]
    if (choice?.delta?.content && firstMs === 0) firstMs = performance.now() - began
    text += choice?.delta?.content ?? ''
    finish = choice?.finish_reason ?? finish
    tokens = usage?.completion_tokens ?? tokens
  }
  const totalMs = performance.now() - began
  return { firstMs, totalMs, tokens, text, whole: finish === 'stop', ...(shown && { shown }) }
}

const threads = Number(values.threads)
const served = { threads, contextLength: 4096, cacheDir: folder }
const incipit = await ServerProcess.incipit(model, served)
const program = values['llama-server']
const peer =
  program === undefined ? undefined : await ServerProcess.llamaServer(program, model, { ...served, streams: 1 })

const chosen = tasks.filter((_, i) => i % Number(values.every) === 0)
const ways = [
  { name: 'incipit, schema', server: incipit, constrained: true },
  { name: 'incipit, free', server: incipit, constrained: false },
  ...(peer
    ? [
        { name: 'llama-server, schema', server: peer, constrained: true },
        { name: 'llama-server, free', server: peer, constrained: false },
      ]
    : []),
]
const replies = new Map<string, Map<Task, Reply[]>>(ways.map(({ name }) => [name, new Map()]))
for (const { server } of ways) await ask(server, chosen[0]!, false)
for (let round = 0; round < Number(values.rounds); round++) {
  for (const task of chosen) {
    for (const { name, server, constrained } of ways) {
      const all = replies.get(name)!
      all.set(task, [...(all.get(task) ?? []), await ask(server, task, constrained)])
    }
  }
}
const provisional: { task: Task; reply: Reply }[] = []
for (const task of chosen) provisional.push({ task, reply: await ask(incipit, task, true, true) })

const of = (way: string, task: Task) => {
  const all = replies.get(way)!.get(task)!
  return {
    firstMs: median(all.map(({ firstMs }) => firstMs)),
    totalMs: median(all.map(({ totalMs }) => totalMs)),
    tokens: all[0]!.tokens,
    msPerToken: median(all.map(({ totalMs, firstMs, tokens }) => (totalMs - firstMs) / Math.max(1, tokens - 1))),
    whole: all[0]!.whole,
  }
}
const mean = (numbers: readonly number[]) =>
  numbers.reduce((sum, value) => sum + value, 0) / Math.max(1, numbers.length)
const digits = (value: number, count: number) => value.toFixed(count)

for (const size of ['small', 'medium', 'large', 'recursive', 'all'] as const) {
  const those = chosen.filter((task) => size === 'all' || task.size === size)
  if (those.length === 0) continue
  const rows = ways.map(({ name }) => {
    const figures = those.map((task) => of(name, task))
    return [
      name,
      String(those.length),
      String(figures.filter(({ whole }) => whole).length),
      digits(median(figures.map(({ firstMs }) => firstMs)), 0),
      digits(mean(figures.map(({ tokens }) => tokens)), 0),
      digits(1000 / median(figures.map(({ msPerToken }) => msPerToken)), 1),
      digits(mean(figures.map(({ totalMs }) => totalMs)), 0),
    ]
  })
  console.log(`\n### ${size}\n`)
  table(['', 'schemas', 'replies that ended', 'first word, ms', 'tokens', 'tokens/s', 'total, ms'], rows)
  if (!peer) continue
  const ratio = (key: 'totalMs' | 'firstMs' | 'msPerToken', other: string) =>
    those.map((task) => of('incipit, schema', task)[key] / of(other, task)[key])
  const line = (key: 'totalMs' | 'firstMs' | 'msPerToken') => {
    const all = ratio(key, 'llama-server, schema')
    return `${digits(median(all), 2)} (${digits(quantile(all, 0.1), 2)} to ${digits(quantile(all, 0.9), 2)})`
  }
  console.log(
    `\nincipit / llama-server, both with the schema, median (p10 to p90): first word ${line('firstMs')}, ms per token ${line('msPerToken')}, total ${line('totalMs')}`,
  )
}
const shown = provisional.flatMap(({ reply }) => (reply.shown ? [{ ...reply, shown: reply.shown }] : []))
const right = shown.filter((reply) => reply.text.startsWith(reply.shown.text))
const reduction = shown.map((reply) => 1 - reply.shown.ms / reply.firstMs)
console.log(
  `\nProvisional text: shown in ${shown.length} of ${provisional.length}, right in ${right.length}; the first word came earlier by ${digits(100 * median(reduction), 0)}% (median of those)`,
)
for (const server of [incipit, peer]) await server?.[Symbol.asyncDispose]()

// What constraints cost beside the model, in this process: the same tasks once more.
let spentMs = 0
function timed<T>(act: () => T): T {
  const began = performance.now()
  try {
    return act()
  } finally {
    spentMs += performance.now() - began
  }
}
class Timed implements ConstraintState {
  readonly #state: ConstraintState
  constructor(state: ConstraintState) {
    this.#state = state
  }
  mask() {
    return timed(() => this.#state.mask())
  }
  forced() {
    return timed(() => this.#state.forced())
  }
  allowedLength(tokens: readonly number[]) {
    return timed(() => this.#state.allowedLength!(tokens))
  }
  advance(token: number) {
    timed(() => this.#state.advance(token))
  }
  rollback(count: number) {
    timed(() => this.#state.rollback(count))
  }
  fork(): ConstraintState {
    return new Timed(this.#state.fork())
  }
  [Symbol.dispose]() {
    timed(() => this.#state[Symbol.dispose]?.())
  }
}
let compileMs = 0
const engine = await Engine.load(model, {
  threads,
  parallel: 2,
  cacheDir: folder,
  constraints: (declared, vocabulary) => {
    const began = performance.now()
    const state = compile(declared, vocabulary)
    compileMs += performance.now() - began
    return new Timed(state)
  },
})
let tokens = 0
let decodingMs = 0
const compiling: number[] = []
const first = { messages: [{ role: 'user', content: 'Hi' }], maxTokens: 4 }
for await (const _ of engine.generate({ ...first, constraint: { type: 'json_schema', schema: {} } })) {
  // What a vocabulary takes once is not counted.
}
spentMs = 0
for (const { prompt, schema } of chosen) {
  compileMs = 0
  const messages = [{ role: 'user', content: prompt }]
  for await (const event of engine.generate({ messages, maxTokens, constraint: { type: 'json_schema', schema } })) {
    if (event.type !== 'done') continue
    tokens += event.timings.predictedN
    decodingMs += event.timings.predictedMs
  }
  compiling.push(compileMs)
}
const forced = engine.stats().proposers.grammar?.accepted ?? 0
console.log(
  `\nOf ${tokens} tokens ${forced} were forced (${digits((100 * forced) / tokens, 0)}%). Masks, steps forwards and backwards: ${digits((1000 * spentMs) / tokens, 0)} µs a token, ${digits((100 * spentMs) / decodingMs, 1)}% of the time of the replies. Compiling a schema: median ${digits(median(compiling), 1)} ms, at most ${digits(Math.max(...compiling), 1)} ms.`,
)
await engine.close()
