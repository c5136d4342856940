import { cpus } from 'node:os'
import { CostModel } from '../src/core/cost/cost-model.ts'
import type { EndedStep } from '../src/core/executor.ts'
import { limitsOf } from '../src/core/schedule/machine-constants.ts'
import type { EngineParts } from '../src/runtime/load/load.ts'
import { Loop } from '../src/serving/loop.ts'
import { runPrompt } from '../src/serving/run-prompt.ts'
import type { AttentionCost, MachineProfile } from '../src/simulate/index.ts'

interface ProfileOptions {
  readonly name: string
  /** Rounds over all cases. */
  readonly repeats: number
  /** Of the whole machine. */
  readonly dollarsPerHour: number
  /** Most cells before a row that is measured. Default 2,048. */
  readonly longest?: number
}

interface Case {
  /** Rows of the step, and cells before them. */
  readonly rows: number
  readonly context: number
}

/** Token ids that are no control tokens in any vocabulary we know, and differ. */
function tokens(count: number, salt: number): number[] {
  return Array.from({ length: count }, (_, i) => 1000 + ((i * 37 + salt * 101) % 7000))
}

function round(number: number, digits: number): number {
  return Number(number.toPrecision(digits))
}

/** Measures what steps of a loaded model cost on this machine: a profile as `incipit simulate` takes it. */
export async function measureProfile(
  parts: EngineParts,
  { name, repeats, dollarsPerHour, longest = 2048 }: ProfileOptions,
): Promise<MachineProfile> {
  const { executor, layout, machine, info } = parts
  const { stages, devices } = executor
  const { batchRows, tileRows } = machine
  const threads = devices[0]!.governor.all
  executor.threads = threads

  /** ms per stage of the steps since it was emptied. */
  let spent: number[] = []
  let before = process.cpuUsage()
  const loop = new Loop({
    ...layout,
    ...parts,
    devices: executor.deviceOfStage,
    contextLength: info.contextLength,
    limits: { ...limitsOf(machine, { microbatches: !layout.memory.sharesCells, exit: false }), stepMs: Infinity },
    costs: new CostModel(),
    vocabulary: parts.vocab,
    exit: undefined,
    firstWords: parts.firstWords,
    now: () => performance.now(),
    observer: {
      stepBegins: () => {
        before = process.cpuUsage()
      },
      stepEnded: ({ step, result, ms }: EndedStep) => {
        if (result !== 'done') return
        const { user, system } = process.cpuUsage(before)
        // One thread waits for nobody: its processor time is what the step would take if other programs left it alone.
        spent[step.stage] = (spent[step.stage] ?? 0) + (threads === 1 ? (user + system) / 1000 : ms)
      },
    },
  })

  const longContext = Math.min(longest, info.contextLength - batchRows)
  const source = tokens(longContext, 7)
  let measured = 0

  /** ms per stage of one step. Its rows are new each time, and what stands before them is kept. */
  async function measure({ rows, context }: Case): Promise<number[]> {
    spent = stages.map(() => 0)
    await runPrompt(loop, [...source.slice(0, context), ...tokens(rows, 100 + measured++)], { shares: context > 0 })
    return spent
  }

  await runPrompt(loop, source, { shares: true })

  const base: Case[] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map((rows) => ({ rows, context: 0 }))
  const reading: Case[] = [longContext / 4, longContext].map((context) => ({ rows: 1, context }))
  const attending: Case[] = [longContext / 4, longContext].map((context) => ({ rows: 128, context }))
  const cases = [...base, ...reading, ...attending]
  const times = cases.map(() => stages.map((): number[] => []))
  // Rounds over all cases, so that a busy moment of the machine meets all of them.
  for (let round = 0; round <= repeats; round++) {
    for (const [index, one] of cases.entries()) {
      const all = await measure(one)
      // The first round warms caches.
      if (round > 0) for (const [stage, ms] of all.entries()) times[index]![stage]!.push(ms)
    }
    process.stderr.write('.')
  }
  process.stderr.write('\n')

  // The shortest: what a step takes when nothing else disturbs it.
  const ms = (one: Case, stage: number) => Math.min(...times[cases.indexOf(one)]![stage]!)

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

  return {
    name,
    description: `${info.name} on ${placeOf(parts, threads)}, measured`,
    dollarsPerHour,
    cells: layout.cells,
    context: info.contextLength,
    slots: layout.slots,
    parallel: info.parallel,
    unified: layout.memory.sharesCells,
    cellBytes: stages.reduce((sum, { model }) => sum + model.cellBytes, 0),
    keptBytes: layout.savedBytes,
    batch: batchRows,
    tile: tileRows,
    devices: executor.deviceOfStage,
    costs,
    attention,
    betweenStepsMs: 0.4,
    noise: 0,
    exit: parts.exit !== undefined,
  }
}

function placeOf({ info }: EngineParts, threads: number): string {
  if (info.offload && info.offload.layers > 0) return info.offload.devices.join(', ')
  return `${threads === 1 ? 'one thread' : `${threads} threads`} of ${cpus()[0]?.model ?? 'this machine'}`
}
