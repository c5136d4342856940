import { existsSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import type { Sequence } from '../src/core/sequences/sequence.ts'
import { SequenceTable } from '../src/core/sequences/sequence-table.ts'
import { batchRows, load, tileRows } from '../src/runtime/load/load.ts'
import type { AttentionCost, MachineProfile } from '../src/simulate/index.ts'

// Measures what steps of a model cost on this machine and prints the profile that `incipit simulate --profile` takes.
//
//   node packages/engine/bench/cost-profile.ts [--model FILE] [--name NAME] [--threads N] [--dollars-per-hour X] > profile.json

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    name: { type: 'string', default: 'this-machine' },
    threads: { type: 'string' },
    repeats: { type: 'string', default: '9' },
    parallel: { type: 'string', default: '8' },
    'dollars-per-hour': { type: 'string', default: '0.10' },
  },
})
const models = process.env.INCIPIT_MODELS ?? join(import.meta.dirname, '../../../../shared/models')
const path = values.model ?? join(models, 'SmolLM2-135M-Instruct.Q4_1.gguf')
if (!existsSync(path)) {
  console.error(`no model at ${path}: name one with --model`)
  process.exit(2)
}
const parallel = Number(values.parallel)
const loaded = await load(path, { parallel, ...(values.threads ? { threads: Number(values.threads) } : {}) })
const { stages, devices, slots, unified } = loaded

const core = new SequenceTable({
  devices: stages.map(({ device }) => devices.indexOf(device)),
  slots,
  cells: loaded.cells,
  unified,
  caches: {
    remove: (stage, slot, from) => stages[stage]!.remove(slot, from),
    share: (stage, source, to, from, end) => stages[stage]!.context.sequenceCopy(source, to, from, end),
    save: () => ({ bytes: 0 }),
    restore: () => {},
  },
  limits: { batch: batchRows, stepMs: Number.POSITIVE_INFINITY },
  costs: { rows: (_stage, rows) => rows, within: () => batchRows },
})

/** Runs everything there is to run; ms per stage. */
async function run(): Promise<number[]> {
  const spent = stages.map(() => 0)
  for (;;) {
    const step = devices.map((_, device) => core.next(device)).find((next) => next !== undefined)
    if (step === undefined) return spent
    const stage = stages[step.stage]!
    const threads = stage.device.governor.all
    const before = process.cpuUsage()
    const { result, ms: wall } = await stage.device.run(step, stage, stages[step.stage - 1], threads)
    const { user, system } = process.cpuUsage(before)
    // One thread waits for nobody: its processor time is what the step would take if other programs left it alone.
    const ms = threads === 1 ? (user + system) / 1000 : wall
    if (result === 'done') {
      stage.storeHiddenStates(step, stages[step.stage - 1])
      core.ran(step, performance.now())
      spent[step.stage]! += ms
    } else core.aborted(step)
  }
}

/** Token ids that are no control tokens in any vocabulary we know, and differ. */
const tokens = (count: number, salt: number) =>
  Array.from({ length: count }, (_, i) => 1000 + ((i * 37 + salt * 101) % 7000))

interface Case {
  /** Sequences, rows of each, and cells before them. */
  readonly sequences: number
  readonly rows: number
  readonly context: number
}

/** ms per stage of one step. */
async function measure({ sequences, rows, context }: Case, source: Sequence): Promise<number[]> {
  const before = source.tokens.slice(0, context)
  const started = Array.from({ length: sequences }, (_, i) =>
    context === 0 ? core.add(tokens(rows, i))! : core.addSharing(source, [...before, ...tokens(rows, i)])!,
  )
  const spent = await run()
  for (const sequence of started) core.remove(sequence)
  return spent
}

const longContext = Math.min(2048, loaded.info.contextLength - batchRows)
const source = core.add(tokens(longContext, 7))!
await run()

const base: Case[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map((rows) => ({ sequences: 1, rows, context: 0 }))
const reading: Case[] = [longContext / 4, longContext].map((context) => ({ sequences: 1, rows: 1, context }))
const attending: Case[] = [longContext / 4, longContext].map((context) => ({ sequences: 1, rows: 128, context }))
const cases = [...base, ...reading, ...attending]
const times = cases.map(() => stages.map((): number[] => []))
// Rounds over all cases, so that a busy moment of the machine meets all of them.
for (let round = 0; round <= Number(values.repeats); round++) {
  for (const [index, one] of cases.entries()) {
    const spent = await measure(one, source)
    // The first round warms caches.
    if (round > 0) for (const [stage, ms] of spent.entries()) times[index]![stage]!.push(ms)
  }
  process.stderr.write('.')
}
process.stderr.write('\n')

/** The shortest: what a step takes when nothing else disturbs it. */
const quiet = (numbers: readonly number[]) => Math.min(...numbers)
const ms = (one: Case, stage: number) => quiet(times[cases.indexOf(one)]![stage]!)
const round = (number: number, digits: number) => Number(number.toPrecision(digits))

const attention = stages.map((_, stage): AttentionCost => {
  const extra = (one: Case) => Math.max(0, ms(one, stage) - ms(base.find(({ rows }) => rows === one.rows)!, stage))
  // Slopes through the two contexts, least squares through the origin.
  const slope = (ones: readonly Case[], of: (one: Case) => number) =>
    ones.reduce((sum, one) => sum + of(one) * extra(one), 0) / ones.reduce((sum, one) => sum + of(one) ** 2, 0)
  return {
    // A row by itself costs far more arithmetic per cell than rows in tiles; reading the cells is the lesser part.
    cellMs: 0,
    loosePairMs: round(
      slope(reading, ({ context }) => context),
      3,
    ),
    pairMs: round(
      slope(attending, ({ context, rows }) => context * rows),
      3,
    ),
  }
})

// Rows of one step see those before them: that is attention's part, and is counted there.
const costs = stages.map((_, stage) =>
  base.map((one) => {
    const { pairMs, loosePairMs } = attention[stage]!
    const own = (one.rows < tileRows ? loosePairMs : pairMs) * ((one.rows * (one.rows + 1)) / 2)
    return { rows: one.rows, ms: round(ms(one, stage) - own, 3) }
  }),
)

const threads = devices[0]!.governor.all
const cpu = cpus()[0]?.model ?? 'this machine'
const profile: MachineProfile = {
  name: values.name,
  description: `${loaded.info.name} on ${threads === 1 ? 'one thread' : `${threads} threads`} of ${cpu}, measured`,
  dollarsPerHour: Number(values['dollars-per-hour']),
  cells: loaded.cells,
  context: loaded.info.contextLength,
  slots,
  parallel,
  unified,
  cellBytes: stages.reduce((sum, { model }) => sum + model.cellBytes, 0),
  keptBytes: loaded.keptBytes,
  batch: batchRows,
  tile: tileRows,
  devices: stages.map(({ device }) => devices.indexOf(device)),
  costs,
  attention,
  betweenStepsMs: 0.4,
  noise: 0,
  exit: loaded.exit !== undefined,
}
console.log(JSON.stringify(profile, null, 2))
for (const part of [...stages, ...devices]) part[Symbol.dispose]()
