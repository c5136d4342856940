import type { TierName } from '../api/tiers.ts'
import { measureCapacity } from './capacity.ts'
import type { GuessQuality } from './guess-sampler.ts'
import type { MachineProfile } from './profile.ts'
import { report, type SimulationReport } from './report.ts'
import { simulate } from './simulate.ts'
import { type Mix, Workload } from './workload.ts'

export interface SweepOptions {
  readonly mix: Mix
  readonly tier?: TierName
  /** Requests of each simulation. */
  readonly requests: number
  readonly seed: number
  /** Share of positions at which there is a draft. */
  readonly coverage: number
  readonly policy: 'committed' | 'provisional'
  readonly minStability: number
  readonly loads?: readonly number[]
  readonly acceptances?: readonly number[]
  /** Called before each simulation. */
  readonly onProgress?: (line: string) => void
}

/** Speculation on against off, at one load and acceptance; ratios below 1 are gains. */
export interface SweepCell {
  readonly acceptance: number
  /** Stable TTFT, ms. */
  readonly ttft: { readonly p50: number; readonly p95: number }
  /** Ratio of median times to the last token. */
  readonly replyRatio: number
  /** Ratio of rent per reply that kept its tier's bounds. The rent is the same: more replies keep them, or fewer. */
  readonly costRatio: number
  readonly wastedShare: number
  readonly pays: boolean
}

export interface SweepRow {
  /** Share of the capacity without speculation. */
  readonly load: number
  readonly perSecond: number
  readonly off: SimulationReport
  /** Rent per 1,000 replies that kept their bounds, without speculation, while requests come. */
  readonly dollarsPer1000: number
  readonly cells: readonly SweepCell[]
}

/** How many replies a machine makes when it has always enough to do. */
export interface SweepCapacity {
  /** Undefined: without speculation. */
  readonly acceptance: number | undefined
  readonly repliesPerSecond: number
  readonly dollarsPer1000: number
}

export interface Sweep {
  readonly profile: string
  readonly rows: readonly SweepRow[]
  readonly capacities: readonly SweepCapacity[]
}

const usualLoads = [0.2, 0.4, 0.6, 0.8, 0.95]
const usualAcceptances = [0.3, 0.5, 0.7, 0.9]
// Speculation pays when something becomes better by this much and nothing worse by that much: less is chance.
const clearGain = 0.95
const noLoss = 1.03

/** When does speculation pay? The same requests with and without it, by load and by how often guesses are right. */
export async function sweep(profile: MachineProfile, options: SweepOptions): Promise<Sweep> {
  const { mix, seed, tier, loads = usualLoads, acceptances = usualAcceptances } = options
  const say = options.onProgress ?? (() => {})
  const kinds = { mix, seed, ...(tier && { tier }) }
  const guesses = (acceptance: number): GuessQuality => ({
    drafts: acceptance,
    coverage: options.coverage,
    looks: acceptance,
    exits: acceptance,
  })
  const run = async (perSecond: number, quality?: GuessQuality) => {
    const arrivals = { pattern: 'poisson', perSecond } as const
    const source = new Workload({ ...kinds, requests: options.requests, arrivals }, profile.context)
    const { policy, minStability } = options
    return report(
      profile,
      await simulate(profile, source, { seed, policy, minStability, ...(quality && { guesses: quality }) }),
    )
  }

  say('capacity')
  const capacities: SweepCapacity[] = []
  for (const acceptance of [undefined, ...acceptances]) {
    const quality = acceptance === undefined ? undefined : guesses(acceptance)
    const repliesPerSecond = await measureCapacity(profile, { ...kinds, ...(quality && { guesses: quality }) })
    capacities.push({ acceptance, repliesPerSecond, dollarsPer1000: rentPer1000(profile, repliesPerSecond) })
  }
  const rows: SweepRow[] = []
  for (const load of loads) {
    say(`load ${load}`)
    const perSecond = load * capacities[0]!.repliesPerSecond
    const off = await run(perSecond)
    const cells: SweepCell[] = []
    for (const acceptance of acceptances) cells.push(cell(acceptance, off, await run(perSecond, guesses(acceptance))))
    const dollarsPer1000 = rentPer1000(profile, perSecond * off.good.share)
    rows.push({ load, perSecond, off, dollarsPer1000, cells })
  }
  return { profile: profile.name, rows, capacities }
}

function rentPer1000({ dollarsPerHour }: MachineProfile, repliesPerSecond: number): number {
  return (1000 * dollarsPerHour) / 3600 / repliesPerSecond
}

function cell(acceptance: number, off: SimulationReport, on: SimulationReport): SweepCell {
  const ttft = { p50: on.ttft.stable.p50, p95: on.ttft.stable.p95 }
  const before = off.ttft.stable
  const replyRatio = on.replyMs.p50 / off.replyMs.p50
  const costRatio = off.good.share / on.good.share
  const ratios = [ttft.p50 / before.p50, ttft.p95 / before.p95, replyRatio, costRatio]
  return {
    acceptance,
    ttft,
    replyRatio,
    costRatio,
    wastedShare: on.rows.wastedShare,
    pays: ratios.every((ratio) => ratio <= noLoss) && ratios.some((ratio) => ratio <= clearGain),
  }
}
