import { type ChildProcess, spawn } from 'node:child_process'
import { appendFileSync, existsSync, mkdirSync, statfsSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { bytesOf } from '../shapes/write.ts'
import type { Task } from './parts/part.ts'
import { type AcceleratorShape, type Part, plans } from './plan.ts'
import { report } from './report.ts'
import { type Line, parseLine, readLines } from './results.ts'

// The engine's figures on this machine, within a budget of seconds, the most important ones first. Every line is saved as
// soon as it is known, and what is there already is not measured again: a run that was stopped goes on where it was.
//
//   node packages/engine/bench/accelerator/measure.ts --budget 500 --out FOLDER [--plan small] [--models FOLDER] [--write-only]

const { values } = parseArgs({
  options: {
    budget: { type: 'string', default: '500' },
    // results.jsonl, report.md, log.txt and a profile for each model.
    out: { type: 'string', default: 'packed/accelerator/results' },
    plan: { type: 'string', default: 'full' },
    // Where the models are written, 32 GB for all, and stay. Default: memory, if there is room.
    models: { type: 'string' },
    // Parts whose names hold one of these, separated by commas.
    only: { type: 'string' },
    // The models and nothing else.
    'write-only': { type: 'boolean', default: false },
  },
})
const begin = performance.now()
const plan = plans[values.plan as keyof typeof plans]
if (plan === undefined || !(Number(values.budget) > 0)) {
  console.error(`usage: --out FOLDER --budget SECONDS [--plan ${Object.keys(plans).join('|')}]`)
  process.exit(2)
}
const only = values.only?.split(',')
const parts = plan.parts.filter(({ name }) => only === undefined || only.some((some) => name.includes(some)))
const out = values.out
const models = values.models ?? join(roomyFolder(), 'incipit-models')
const results = join(out, 'results.jsonl')
const log = join(out, 'log.txt')
mkdirSync(out, { recursive: true })
mkdirSync(models, { recursive: true })

// A part that is stopped at so many times what it should take would not have ended, unless a driver compiles its kernels.
const patience = 3
const leastPatience = 60
const left = () => Number(values.budget) - (performance.now() - begin) / 1000

/** Memory is read faster than a disk. Of a model that is cut into stages the layers are there twice. */
function roomyFolder(): string {
  const memory = '/dev/shm'
  const needed =
    1.3 * [...new Set(plan.parts.map(({ shape }) => shape))].reduce((sum, shape) => sum + bytesOf(shape), 0)
  if (!existsSync(memory)) return tmpdir()
  const { bavail, bsize } = statfsSync(memory)
  return bavail * bsize >= needed ? memory : tmpdir()
}

function keep(line: Line): void {
  appendFileSync(results, `${JSON.stringify(line)}\n`)
  if (line.kind === 'file') writeFileSync(join(out, line.name), `${JSON.stringify(line.content, null, 2)}\n`)
  if (line.kind !== 'file') console.error(JSON.stringify(line))
  writeFileSync(join(out, 'report.md'), report(readLines(results)))
}

let running: ChildProcess | undefined
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    if (running) stop(running)
    process.exit(1)
  })
}

/** Runs a module of this folder to its end, or kills it. What it says on standard output are lines of results. */
async function run(module: string, args: readonly string[], seconds: number): Promise<string | undefined> {
  const child = spawn(process.execPath, [join(import.meta.dirname, module), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // What it starts is its own group, and ends with it.
    detached: true,
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    appendFileSync(log, text)
    said = (said + text).slice(-2000)
  })
  running = child
  const timer = setTimeout(() => stop(child), 1000 * seconds)
  const ended = new Promise<string | undefined>((resolve) => {
    child.once('close', (code, signal) => {
      if (code === 0) resolve(undefined)
      else if (signal !== null) resolve(`stopped by ${signal} after ${seconds.toFixed(0)} s at most`)
      else resolve(`ended with code ${code}: ${lastLine(said)}`)
    })
  })
  for await (const text of createInterface({ input: child.stdout })) {
    const line = parseLine(text)
    if (line === undefined) appendFileSync(log, `${text}\n`)
    else keep(line)
  }
  const failure = await ended
  clearTimeout(timer)
  stop(child)
  return failure
}

/** Ends a process and all that it started. */
function stop({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // All of them are gone.
  }
}

/** The line that says what went wrong: of a stack trace the one above it. */
function lastLine(text: string): string {
  const lines = text.trim().split('\n')
  return (lines.findLast((line) => /^\w*Error/.test(line)) ?? lines.at(-1) ?? '').slice(0, 500)
}

/** Where a model is, written when it is first wanted. */
async function modelOf(shape: AcceleratorShape): Promise<string> {
  const path = join(models, `${shape}.gguf`)
  if (existsSync(path)) return path
  const failure = await run('write-model.ts', [shape, models], left())
  if (failure !== undefined) throw new Error(`${shape} was not written: ${failure}`)
  return path
}

async function measure(part: Part, model: string): Promise<void> {
  const start = performance.now()
  const task: Task = { part, scale: plan.scale, model, threads: availableParallelism() }
  const most = Math.min(left(), Math.max(leastPatience, patience * part.seconds))
  const failure = await run('part-process.ts', [JSON.stringify(task)], most)
  const seconds = Math.round((performance.now() - start) / 100) / 10
  keep({ kind: 'end', part: part.name, seconds, ...(failure !== undefined && { failure }) })
}

if (values['write-only']) {
  await Promise.all([...new Set(parts.map(({ shape }) => shape))].map(modelOf))
  process.exit(0)
}
const known = readLines(results)
if (known.length === 0) {
  const text = `${cpus()[0]?.model}, ${availableParallelism()} threads; plan '${values.plan}'`
  keep({ kind: 'note', text })
  await run('devices.ts', [], left())
}
const done = new Set(known.flatMap((line) => (line.kind === 'end' && line.failure === undefined ? [line.part] : [])))
const skipped: string[] = []
for (const part of parts) {
  if (done.has(part.name)) continue
  if (left() < part.seconds) {
    skipped.push(part.name)
    continue
  }
  try {
    await measure(part, await modelOf(part.shape))
  } catch (error) {
    keep({ kind: 'end', part: part.name, seconds: 0, failure: (error as Error).message })
  }
}
if (skipped.length > 0) keep({ kind: 'note', text: `no time was left for: ${skipped.join(', ')}` })
console.log(report(readLines(results)))
