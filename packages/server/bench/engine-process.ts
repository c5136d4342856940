import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { median, quantile } from '../../engine/bench/numbers.ts'
import { defaultModel, requireFiles, temporaryFolder } from '../../engine/bench/surroundings.ts'
import { table } from '../../engine/bench/table.ts'

// What it costs that the engine has a process of its own: the same streams over HTTP from a server with the engine in a child
// and from one with the engine inside, in turns. Only worth something on a machine with nothing else to do. Prints a
// Markdown table; docs/benchmarks.md holds the last.

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    rounds: { type: 'string', default: '9' },
    streams: { type: 'string', default: '1,8' },
    // One thread leaves a core to the server and its clients.
    threads: { type: 'string', default: '1' },
  },
})
const model = values.model ?? defaultModel
requireFiles({ '--model': model })
const tokensOfReply = 200
const rounds = Number(values.rounds)
const folder = temporaryFolder()

interface Host {
  readonly child: ChildProcess
  readonly address: string
  /** Its file of first commits. */
  readonly marks: string
}

async function host(where: 'inside' | 'child'): Promise<Host> {
  const marks = join(folder, where)
  const preload = `--import=${new URL('./mark-commits.ts', import.meta.url)}`
  const env = { ...process.env, NODE_OPTIONS: preload, INCIPIT_BENCH_MARKS: marks }
  const child = fork(join(import.meta.dirname, 'host.ts'), [model, where, values.threads], { stdio: 'inherit', env })
  const [{ address }] = (await once(child, 'message')) as [{ address: string }]
  return { child, address, marks }
}

interface Run {
  /** Milliseconds until all streams were done. */
  readonly totalMs: number
  /** Milliseconds from the engine's first commit of a reply to its first byte here; replies in the order of both. */
  readonly behindMs: readonly number[]
}

/** Reads one stream; when its first text came, by the machine's clock in nanoseconds. */
async function stream(address: string, prompt: string, seed: number): Promise<bigint> {
  const sent = request(`${address}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' } })
  const sampling = { max_tokens: tokensOfReply, temperature: 1, seed }
  sent.end(JSON.stringify({ prompt, ...sampling, speculate: false, stream: true }))
  const [response] = await once(sent, 'response')
  let first: bigint | undefined
  for await (const part of response) if (/"text":"[^"]/.test(String(part))) first ??= process.hrtime.bigint()
  if (first === undefined) throw new Error('a reply without text')
  return first
}

async function run({ address, marks }: Host, streams: number, seed: number): Promise<Run> {
  writeFileSync(marks, '')
  const began = performance.now()
  const ids = Array.from({ length: streams }, (_, index) => seed * 100 + index)
  const firsts = await Promise.all(ids.map((id) => stream(address, `Story number ${id}: once upon a time`, id)))
  const totalMs = performance.now() - began
  await sleep(50)
  const commits = readFileSync(marks, 'utf8').trim().split('\n').map(BigInt)
  if (commits.length !== streams) throw new Error(`${commits.length} first commits of ${streams} replies`)
  const inOrder = (times: bigint[]) => times.sort((a, b) => (a < b ? -1 : 1))
  const [came, said] = [inOrder(firsts), inOrder(commits)]
  return { totalMs, behindMs: came.map((time, i) => Number(time - said[i]!) / 1e6) }
}

const hosts = { inside: await host('inside'), child: await host('child') }
const rows: (string | number)[][] = []
for (const streams of values.streams.split(',').map(Number)) {
  const pairs: { inside: Run; child: Run }[] = []
  // The first round warms both up.
  for (let round = 0; round <= rounds; round++) {
    const order = round % 2 === 0 ? (['inside', 'child'] as const) : (['child', 'inside'] as const)
    const runs = { [order[0]]: await run(hosts[order[0]], streams, round) }
    runs[order[1]] = await run(hosts[order[1]], streams, round)
    pairs.push({ inside: runs.inside!, child: runs.child! })
  }
  const measured = pairs.slice(1)
  const behind = (which: 'inside' | 'child', q: number) =>
    quantile(
      measured.flatMap((pair) => pair[which].behindMs),
      q,
    ).toFixed(2)
  const total = (which: 'inside' | 'child') => median(measured.map((pair) => pair[which].totalMs)).toFixed(0)
  const ratio = median(measured.map((pair) => pair.child.totalMs / pair.inside.totalMs)).toFixed(3)
  const [insideMs, childMs] = [total('inside'), total('child')]
  const columns = [behind('inside', 0.5), behind('child', 0.5), behind('inside', 0.9), behind('child', 0.9)]
  rows.push([streams, insideMs, childMs, ratio, ...columns])
}
console.log(
  `Replies of ${tokensOfReply} tokens over HTTP, ${rounds} rounds in turns (${cpus()[0]?.model.trim()}, ${values.threads} threads). ` +
    "Total time; and first byte at the client after the engine's first commit, in milliseconds:\n",
)
table(['streams', 'inside', 'in a child', 'ratio', 'p50 inside', 'p50 child', 'p90 inside', 'p90 child'], rows)
for (const { child } of Object.values(hosts)) child.kill()
