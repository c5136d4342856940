import { readFile } from 'node:fs/promises'
import { type TierName, tierNames } from '@incipit/engine/api'
import type { Arrivals, GuessQuality, MachineProfile, Mix } from '@incipit/engine/simulate'
import { type Command, Option } from 'commander'
import { UsageError } from '../failure.ts'
import { decimal, integer } from '../options.ts'

interface SimulateFlags {
  profile?: string
  price?: number
  rate?: number
  streams?: number
  bursts?: true
  mix: string
  tier?: TierName
  requests?: number
  seed: number
  policy: 'committed' | 'provisional'
  acceptance: number
  coverage: number
  lookSurvival: number
  speculation: boolean
  sweep?: true
  json?: true
}

// Without --rate the machine is this busy.
const usualLoad = 0.6
const usualRequests = 2000
// A sweep is two dozen simulations.
const sweepRequests = 500
// The default of requests.
const minStability = 0.9

/** `incipit simulate`: the engine's scheduler on a virtual clock: latencies and costs of a machine that need not be there. */
export function addSimulate(program: Command): void {
  program
    .command('simulate')
    .description('Run the scheduler on a virtual clock: waiting times, goodput and cost of a load on a machine.')
    .option('--profile <name>', 'cpu-smollm2-135m, h200-8b, 8xh200-70b, or a JSON file (default: the first)')
    .option('--price <dollars>', 'rent of the whole machine per hour (default: as the profile says)', decimal(0))
    .option('--mix <mix>', 'kinds of requests and their weights', 'chat=0.7,rag=0.3')
    .option('--rate <n>', 'requests per second (default: 60% of what the machine can do)', decimal(1e-6))
    .option('--bursts', 'requests come in bursts of ten')
    .addOption(
      new Option('--streams <n>', 'that many clients, each always waiting for one reply')
        .argParser(integer(1))
        .conflicts(['rate', 'bursts']),
    )
    .addOption(
      new Option('--tier <tier>', 'one tier for all but batch jobs (default: as the kind of request wants it)').choices(
        tierNames,
      ),
    )
    .option('-n, --requests <n>', `requests (default: ${usualRequests}, of a sweep ${sweepRequests} each)`, integer(1))
    .option('--seed <s>', 'the same seed gives the same simulation', integer(0), 1)
    .addOption(
      new Option('-p, --policy <policy>', 'committed: final text only; provisional: looks ahead, too')
        .choices(['committed', 'provisional'])
        .default('provisional'),
    )
    .option('--acceptance <x>', 'probability that a draft is right if those before it are', decimal(0, 1), 0.6)
    .option('--coverage <x>', 'share of positions at which there is a draft (lookup: 0.4)', decimal(0, 1), 1)
    .option('--look-survival <x>', 'probability that a look at a tenth of the prompt is right', decimal(0, 1), 0.71)
    .option('--no-speculation', 'let nobody guess ahead')
    .option('--sweep', 'by load and acceptance: when does speculation pay?')
    .option('--json', 'print JSON')
    .action(simulateCommand)
}

async function simulateCommand(flags: SimulateFlags): Promise<void> {
  const { sweep, sweepTable } = await import('@incipit/engine/simulate')
  const mix = await mixOf(flags)
  const profile = await profileOf(flags)
  if (!flags.sweep) return await simulateOnce(flags, profile, mix)
  const { seed, tier, coverage, policy, requests = sweepRequests } = flags
  const result = await sweep(profile, {
    mix,
    requests,
    seed,
    coverage,
    policy,
    minStability,
    ...(tier && { tier }),
    onProgress: (line) => process.stderr.write(`${line}\n`),
  })
  process.stdout.write(`${flags.json ? JSON.stringify(result) : sweepTable(profile, result)}\n`)
}

async function simulateOnce(flags: SimulateFlags, profile: MachineProfile, mix: Mix): Promise<void> {
  const { measureCapacity, report, reportTable, simulate, Workload } = await import('@incipit/engine/simulate')
  const { seed, tier, policy, requests = usualRequests } = flags
  const kinds = { mix, seed, ...(tier && { tier }) }
  const rate = async () => flags.rate ?? usualLoad * (await measureCapacity(profile, kinds))
  const arrivals: Arrivals =
    flags.streams === undefined
      ? { pattern: flags.bursts ? 'bursts' : 'poisson', perSecond: await rate() }
      : { pattern: 'streams', streams: flags.streams }
  const guesses: GuessQuality = {
    drafts: flags.acceptance,
    coverage: flags.coverage,
    looks: flags.lookSurvival,
    exits: flags.acceptance,
  }
  const source = new Workload({ ...kinds, requests, arrivals }, profile.context)
  const outcome = await simulate(profile, source, { seed, policy, minStability, ...(flags.speculation && { guesses }) })
  const result = report(profile, outcome)
  process.stdout.write(`${flags.json ? JSON.stringify(result) : reportTable(profile, result)}\n`)
}

async function mixOf({ mix }: SimulateFlags): Promise<Mix> {
  const { parseMix } = await import('@incipit/engine/simulate')
  try {
    return parseMix(mix)
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

async function profileOf({ profile: name, price }: SimulateFlags): Promise<MachineProfile> {
  const { machineProfiles, parseProfile } = await import('@incipit/engine/simulate')
  const known = name === undefined ? machineProfiles[0]! : machineProfiles.find((profile) => profile.name === name)
  const profile = known ?? parseProfile(await profileFile(name!, machineProfiles))
  return price === undefined ? profile : { ...profile, dollarsPerHour: price }
}

async function profileFile(path: string, known: readonly MachineProfile[]): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const names = known.map(({ name }) => name).join(', ')
    throw new UsageError(`${path} is no profile (${names}) and no file that can be read: ${(cause as Error).message}`)
  }
}
