import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Engine } from '../src/index.ts'
import {
  type Arrivals,
  type MachineProfile,
  machineProfiles,
  type Outcome,
  parseProfile,
  type RequestSource,
  type SimulatedRequest,
  simulate,
  Workload,
} from '../src/simulate/index.ts'
import { percentiles } from '../src/simulate/report.ts'
import { defaultModel, requireFiles } from './surroundings.ts'
import { table } from './table.ts'

// The simulator against the engine: the same requests, with the same reply lengths, through both. Prints a Markdown table.
//
//   node packages/engine/bench/simulation.ts [--profile FILE] [--threads N] [--requests N]

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    profile: { type: 'string' },
    threads: { type: 'string', default: '1' },
    requests: { type: 'string', default: '20' },
  },
})
const path = values.model ?? defaultModel
requireFiles({ '--model': path })
const quiet = values.profile ? parseProfile(readFileSync(values.profile, 'utf8')) : machineProfiles[0]!
const requests = Number(values.requests)
const streams = 4
const context = 2048
const mostReply = 48

await using engine = await Engine.load(path, {
  cut: 'none',
  parallel: streams,
  contextLength: context,
  threads: Number(values.threads),
})
const profile: MachineProfile = { ...quiet, parallel: streams, slots: streams + 4, context, noise: 0 }

/** What became of a request: ms from its arrival. */
interface Seen {
  readonly ttft: number
  readonly total: number
  /** Tokens of the reply. */
  readonly reply: number
}

/** One request through the engine. */
async function ask({ prompt, reply }: SimulatedRequest, cacheSalt: string): Promise<Seen> {
  const start = performance.now()
  let ttft = 0
  let tokens = 0
  // Any token of the vocabulary will do for a prompt.
  const known = prompt.map((token) => 1000 + (token % 40_000))
  const request = { prompt: known, maxTokens: Math.min(reply, mostReply), proposers: [], cacheSalt }
  for await (const event of engine.generate(request)) {
    if (event.type !== 'done') continue
    ttft = event.timings.committedMs ?? Number.NaN
    tokens = event.usage.completionTokens
  }
  return { ttft, total: performance.now() - start, reply: tokens }
}

/**
 * Sends all requests of a workload to the engine, at their times or whenever a client has its reply.
 * @param cacheSalt keeps what other cases computed away
 */
async function drive(source: Workload, open: boolean, cacheSalt: string): Promise<Map<number, Seen>> {
  const seen = new Map<number, Seen>()
  const begin = performance.now()
  const running = new Set<Promise<void>>()
  while (source.next < Number.POSITIVE_INFINITY || running.size > 0) {
    if (source.next === Number.POSITIVE_INFINITY) {
      await Promise.race(running)
      continue
    }
    if (open) await sleep(Math.max(0, begin + source.next - performance.now()))
    const request = source.take()
    const task: Promise<void> = ask(request, cacheSalt).then((result) => {
      seen.set(request.index, result)
      running.delete(task)
      source.done(performance.now() - begin)
    })
    running.add(task)
  }
  return seen
}

/** The same requests, but replies as long as the engine's were. */
function as(source: Workload, seen: ReadonlyMap<number, Seen>): RequestSource {
  return {
    get next() {
      return source.next
    },
    take() {
      const request = source.take()
      return { ...request, reply: seen.get(request.index)!.reply }
    },
    done: (now) => source.done(now),
    said: (request, position) => source.said(request, position),
  }
}

/** A profile of a machine that takes this many times as long. */
function slower(one: MachineProfile, factor: number): MachineProfile {
  return {
    ...one,
    costs: one.costs.map((points) => points.map(({ rows, ms }) => ({ rows, ms: factor * ms }))),
    attention: one.attention.map(({ cellMs, pairMs, loosePairMs }) => ({
      cellMs: factor * cellMs,
      pairMs: factor * pairMs,
      loosePairMs: factor * loosePairMs,
    })),
    betweenStepsMs: factor * one.betweenStepsMs,
  }
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0)
const ttfts = ({ replies }: Outcome) => replies.map(({ arrival, committed }) => committed - arrival)
const totals = ({ replies }: Outcome) => replies.map(({ arrival, end }) => end - arrival)
const rows: string[][] = []
const cases: [string, Arrivals][] = [
  [`${streams} streams`, { pattern: 'streams', streams }],
  ['Poisson', { pattern: 'poisson', perSecond: 1.2 }],
]
for (const [name, arrivals] of cases) {
  const workload = () => new Workload({ mix: { translation: 3, code: 1 }, arrivals, requests, seed: 1 }, context)
  const before = engine.stats()
  const cpu = process.cpuUsage()
  const seen = await drive(workload(), arrivals.pattern !== 'streams', name)
  const { user, system } = process.cpuUsage(cpu)
  const decodeMs = engine.stats().decodeMs - before.decodeMs
  const steps = engine.stats().steps - before.steps
  const run = (machine: MachineProfile) =>
    simulate(machine, as(workload(), seen), { seed: 1, policy: 'committed', minStability: 1 })
  const plain = await run(profile)
  // The machine is shared: its steps took this many times as long as when it is left alone. The scheduler cuts prompts
  // into smaller pieces then, so that the factor is found by trying.
  let factor = 1
  let scaled = plain
  for (let round = 0; round < 12; round++) {
    factor *= (decodeMs / sum(scaled.busyMs)) ** 0.8
    scaled = await run(slower(profile, factor))
  }
  const measured = [...seen.values()]
  const compare = (title: string, real: readonly number[], simulated: (outcome: Outcome) => number[]) => {
    for (const at of ['p50', 'p95'] as const) {
      const [a, b, c] = [real, simulated(plain), simulated(scaled)].map((numbers) => percentiles(numbers)[at])
      rows.push([`${name}: ${title} ${at}, ms`, a!.toFixed(0), b!.toFixed(0), c!.toFixed(0), (c! / a!).toFixed(2)])
    }
  }
  compare(
    'TTFT',
    measured.map(({ ttft }) => ttft),
    ttfts,
  )
  compare(
    'whole reply',
    measured.map(({ total }) => total),
    totals,
  )
  rows.push([
    `${name}: steps`,
    String(steps),
    String(plain.steps),
    String(scaled.steps),
    (scaled.steps / steps).toFixed(2),
  ])
  const decoded = [decodeMs, sum(plain.busyMs), sum(scaled.busyMs)]
  rows.push([`${name}: ms in steps`, ...decoded.map((ms) => ms.toFixed(0)), (decoded[2]! / decodeMs).toFixed(2)])
  const processorMs = (user + system) / 1000
  const quietMs = sum(scaled.busyMs) / factor
  rows.push([
    `${name}: processor ms`,
    processorMs.toFixed(0),
    '',
    quietMs.toFixed(0),
    (quietMs / processorMs).toFixed(2),
  ])
  process.stderr.write(`${name}: the machine was ${factor.toFixed(1)} times as slow as in the profile\n`)
}
table(['', 'engine', 'simulator', 'simulator, machine as slow as it was', 'ratio'], rows)
