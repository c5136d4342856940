import type { GuessQuality } from './guess-sampler.ts'
import { type MachineProfile, rowsMs } from './profile.ts'
import { simulate } from './simulate.ts'
import { Workload, type WorkloadOptions } from './workload.ts'

/** What a mean request asks of a machine. */
export interface Demand {
  /** Prompt tokens that have to be computed. */
  readonly prompt: number
  /** All prompt tokens, computed or reused: they are read by every row of the reply. */
  readonly context: number
  readonly reply: number
}

/**
 * Replies per second that a machine makes when there is always enough to do, by arithmetic. N replies run at once; while
 * each grows by its R tokens, N others' prompts of P tokens are computed in the same steps, so a step has N (1 + P / R)
 * rows, or as many as a step may have. Every reply reads its context, on average P + R / 2 cells.
 * Stages of different devices overlap: the slowest device counts. Row counts of passes are not modelled.
 */
export function capacityOf(profile: MachineProfile, demand: Demand): number {
  const { prompt, context, reply } = demand
  const cells = context + reply
  const running = Math.max(1, Math.min(profile.parallel, Math.floor(profile.cells / cells)))
  const rowsPerReply = prompt + reply - 1
  const rows = Math.min(profile.batch, (running * rowsPerReply) / reply)
  // Of the rows of a step these are replies'; the others are prompts' and see half of their context on average.
  const replying = (rows * reply) / rowsPerReply
  let slowest = 0
  for (const device of new Set(profile.devices)) {
    let ms = profile.betweenStepsMs
    for (const [stage, at] of profile.devices.entries()) {
      if (at !== device) continue
      const { cellMs, pairMs, loosePairMs } = profile.attention[stage]!
      const perReply = Math.max(cellMs, profile.tile > 1 ? loosePairMs : pairMs) * (context + reply / 2)
      const perPromptRow = pairMs * (context - prompt / 2)
      ms += rowsMs(profile, stage, rows) + replying * perReply + (rows - replying) * perPromptRow
    }
    slowest = Math.max(slowest, ms)
  }
  return (1000 * rows) / rowsPerReply / slowest
}

/** Replies per second of as many clients as the machine has places, each always waiting for a reply. */
export async function measureCapacity(
  profile: MachineProfile,
  options: Pick<WorkloadOptions, 'mix' | 'tier' | 'seed'> & { guesses?: GuessQuality },
): Promise<number> {
  const { guesses, ...workload } = options
  const streams = profile.parallel
  // The first and the last round are not full.
  const requests = Math.max(5 * streams, 100)
  const source = new Workload({ ...workload, requests, arrivals: { pattern: 'streams', streams } }, profile.context)
  const { replies } = await simulate(profile, source, {
    seed: workload.seed,
    // Looks show words sooner and make nothing cheaper.
    policy: 'committed',
    minStability: 1,
    ...(guesses && { guesses }),
  })
  const ends = replies.map(({ end }) => end).sort((a, b) => a - b)
  const from = streams
  const to = ends.length - streams
  return (1000 * (to - from)) / (ends[to - 1]! - ends[from - 1]!)
}
