import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { plainMachine } from '../../test/fixtures/plain-machine.ts'
import { full } from '../../test/fixtures/test-size.ts'
import { tiers } from '../api/tiers.ts'
import type { GuessQuality } from './guess-sampler.ts'
import type { Outcome } from './outcome.ts'
import type { MachineProfile } from './profile.ts'
import { percentiles } from './report.ts'
import { simulate } from './simulate.ts'
import { type Arrivals, type Mix, type RequestSource, type SimulatedRequest, Workload } from './workload.ts'

interface Case {
  profile?: MachineProfile
  mix?: Mix
  arrivals?: Arrivals
  requests?: number
  seed?: number
  guesses?: Partial<GuessQuality>
  policy?: 'committed' | 'provisional'
  minStability?: number
}

const half: GuessQuality = { drafts: 0.5, coverage: 1, looks: 0.7, exits: 0.5 }

async function run(options: Case = {}): Promise<Outcome> {
  const { profile = plainMachine, mix = { chat: 1, rag: 1 }, requests = 100, seed = 1 } = options
  const { arrivals = { pattern: 'poisson', perSecond: 0.5 }, policy = 'provisional', minStability = 0.9 } = options
  const source = new Workload({ mix, arrivals, requests, seed }, profile.context)
  const guesses = options.guesses && { ...half, ...options.guesses }
  return await simulate(profile, source, { seed, policy, minStability, ...(guesses && { guesses }) })
}

/** Requests that are given: prompts of different tokens. */
function given(requests: readonly { at: number; prompt: number; reply: number }[]): RequestSource {
  let taken = 0
  return {
    get next() {
      return requests[taken]?.at ?? Number.POSITIVE_INFINITY
    },
    take(): SimulatedRequest {
      const { at, prompt, reply } = requests[taken]!
      const index = taken++
      const tokens = Array.from({ length: prompt }, (_, i) => 1000 * index + i)
      return { index, kind: 'chat', tier: tiers.chat, arrival: at, prompt: tokens, reply }
    },
    done() {},
    said: (request, position) => 1_000_000 + 1000 * request + position,
  }
}

const silent = { seed: 1, policy: 'committed', minStability: 1 } as const
const ttfts = ({ replies }: Outcome) => replies.map(({ arrival, committed }) => committed - arrival)
const sound = (outcome: Outcome, requests = 100) => {
  const { replies, rows, kept, waste } = outcome
  assert.equal(replies.length, requests)
  assert.equal(kept + waste.drafts + waste.looks + waste.again, rows)
  for (const { arrival, provisional = arrival, stable, committed, end } of replies) {
    assert.ok(arrival <= provisional && arrival < stable && stable <= committed && committed <= end)
  }
}

describe('a simulation', () => {
  it('is the same for the same seed', async () => {
    const options = { guesses: half, profile: { ...plainMachine, noise: 0.2 }, requests: 30 }
    assert.deepEqual(await run(options), await run(options))
    assert.notEqual((await run(options)).elapsedMs, (await run({ ...options, seed: 2 })).elapsedMs)
  })

  it('takes a lone request through its prompt and reply as the profile says', async () => {
    const { replies } = await simulate(plainMachine, given([{ at: 5, prompt: 100, reply: 4 }]), silent)
    const [reply] = replies
    assert.equal(reply!.committed - reply!.arrival, 110)
    assert.deepEqual(reply!.gaps, [11, 11, 11])
    assert.equal(reply!.end, 5 + 110 + 33)
  })

  it('lets a request that comes during a step wait for its end', async () => {
    const requests = [
      { at: 0, prompt: 100, reply: 1 },
      { at: 50, prompt: 20, reply: 1 },
    ]
    const { replies } = await simulate(plainMachine, given(requests), silent)
    assert.deepEqual(
      replies.map(({ committed }) => committed),
      [110, 140],
    )
  })

  it('adds the time between steps, and noise that is right on average', async () => {
    const quiet = await run()
    const slow = await run({ profile: { ...plainMachine, betweenStepsMs: 5 } })
    assert.ok(percentiles(ttfts(slow)).p50 > percentiles(ttfts(quiet)).p50)
    const noisy = await run({ profile: { ...plainMachine, noise: 0.3 } })
    const perRow = ({ busyMs, rows }: Outcome) => busyMs[0]! / rows
    assert.ok(Math.abs(perRow(noisy) / perRow(quiet) - 1) < 0.05)
  })

  it('ends every request and accounts for every row', async () => {
    for (const guesses of [undefined, half, { drafts: 0.9 }, { coverage: 0.4, looks: 0.3 }]) {
      for (const policy of ['committed', 'provisional'] as const) {
        sound(await run({ policy, requests: 40, ...(guesses && { guesses }) }), 40)
      }
    }
  })

  it('keeps the rows of prompts and replies that nobody had computed, and no others', async () => {
    for (const guesses of [undefined, half]) {
      const { kept, replies } = await run({ mix: { agents: 1 }, ...(guesses && { guesses }) })
      const computed = replies.map((reply) => reply.promptTokens - reply.cachedTokens + reply.replyTokens - 1)
      const needed = computed.reduce((sum, rows) => sum + rows, 0)
      // The last token of a reply has a row only when it was a draft.
      assert.ok(kept >= needed && kept <= needed + (guesses ? replies.length : 0), `${kept} ${needed}`)
    }
  })

  it('guesses nothing without speculation', async () => {
    const { drafted, waste, rows, kept, replies } = await run()
    assert.equal(drafted, 0)
    assert.deepEqual(waste, { drafts: 0, looks: 0, again: 0 })
    assert.equal(rows, kept)
    for (const { provisional, stable, committed } of replies) {
      assert.equal(provisional, undefined)
      assert.equal(stable, committed)
    }
  })

  it('wastes nothing on drafts that are all right, and is done sooner', async () => {
    // A machine whose further rows are free: every draft is admitted.
    const profile = {
      ...plainMachine,
      costs: [
        [
          { rows: 1, ms: 11 },
          { rows: 512, ms: 12 },
        ],
      ],
    }
    const off = await run({ profile, policy: 'committed' })
    const on = await run({ profile, policy: 'committed', guesses: { drafts: 1 } })
    // What is drafted beyond the end of a reply is all there is.
    assert.ok(on.waste.drafts < 8 * 200)
    const replyMs = ({ replies }: Outcome) => percentiles(replies.map(({ committed, end }) => end - committed)).p50
    assert.ok(replyMs(on) < 0.25 * replyMs(off), `${replyMs(on)} ${replyMs(off)}`)
  })

  it('drafts next to nothing where rows cost in proportion and guesses are poor', async () => {
    const profile = {
      ...plainMachine,
      costs: [
        [
          { rows: 1, ms: 11 },
          { rows: 512, ms: 11 * 512 },
        ],
      ],
    }
    const arrivals = { pattern: 'poisson', perSecond: 0.05 } as const
    const { waste, rows } = await run({ profile, arrivals, policy: 'committed', guesses: { drafts: 0.3 } })
    assert.ok(waste.drafts < 0.02 * rows, `${waste.drafts} of ${rows}`)
  })

  it('shows first words before they are committed, some of which have to be taken back', async () => {
    const options = { mix: { rag: 1 }, arrivals: { pattern: 'poisson', perSecond: 0.1 } } as const
    const { replies } = await run({ ...options, guesses: { looks: 0.6, coverage: 0 }, minStability: 0 })
    const shown = replies.filter(({ provisional }) => provisional !== undefined)
    const stayed = shown.filter(({ stable, committed }) => stable < committed)
    assert.ok(shown.length > 75 && stayed.length > 40 && stayed.length < shown.length)
    const sure = await run({ ...options, guesses: { looks: 0.6, coverage: 0 }, minStability: 0.9 })
    const shownSure = sure.replies.filter(({ provisional }) => provisional !== undefined)
    const stayedSure = shownSure.filter(({ stable, committed }) => stable < committed)
    assert.ok(shownSure.length < shown.length)
    assert.ok(stayedSure.length / shownSure.length > stayed.length / shown.length)
  })

  it('lets a prompt go on when the lookahead that it stopped for does not pay any more', async () => {
    // The first one is not sure, and several others wait when the second one is to begin.
    const others = [60, 61, 62, 63, 64].map((at) => ({ at, prompt: 390, reply: 2 }))
    const source = given([{ at: 0, prompt: 390, reply: 2 }, ...others])
    const { replies, waste } = await simulate(plainMachine, source, {
      seed: 1,
      policy: 'provisional',
      minStability: 1,
      guesses: half,
    })
    assert.equal(replies.length, 6)
    assert.ok(waste.looks > 0)
  })

  it('takes looks only where they may be shown', async () => {
    assert.equal((await run({ guesses: half, policy: 'committed' })).waste.looks, 0)
    assert.ok((await run({ guesses: half, policy: 'provisional' })).waste.looks > 0)
  })

  it('makes nobody wait less when more requests come', async () => {
    const p95 = async (perSecond: number) => {
      let sum = 0
      for (const seed of full ? [1, 2] : [1]) {
        sum += percentiles(ttfts(await run({ arrivals: { pattern: 'poisson', perSecond }, seed }))).p95
      }
      return sum
    }
    const waits = [await p95(0.1), await p95(0.4), await p95(0.8), await p95(1.6)]
    assert.deepEqual(
      waits,
      [...waits].sort((a, b) => a - b),
    )
  })

  it('lets bursts wait longer than the same requests one by one', async () => {
    const one = await run({ arrivals: { pattern: 'poisson', perSecond: 0.3 } })
    const bursts = await run({ arrivals: { pattern: 'bursts', perSecond: 0.3 } })
    assert.ok(percentiles(ttfts(bursts)).p50 > percentiles(ttfts(one)).p50)
  })

  it('reuses rows of requests that are over, as far as memory goes', async () => {
    const reused = async (keptBytes: number) => {
      const { replies } = await run({ mix: { agents: 1 }, profile: { ...plainMachine, keptBytes } })
      return replies.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0)
    }
    const [much, little] = [await reused(200_000), await reused(0)]
    assert.ok(much > 1.3 * little, `${much} ${little}`)
  })

  it('computes again what lost its place when memory is short', async () => {
    const profile = { ...plainMachine, cells: 4200, keptBytes: 0 }
    const outcome = await run({ profile, arrivals: { pattern: 'streams', streams: 8 }, guesses: half, requests: 200 })
    sound(outcome, 200)
    assert.ok(outcome.preemptions > 0)
    assert.ok(outcome.waste.again > 0)
  })

  it('runs two stages of two devices at the same time, and of one in turns', async () => {
    const two = {
      costs: [plainMachine.costs[0]!, plainMachine.costs[0]!],
      attention: [0, 1].map(() => plainMachine.attention[0]!),
    }
    const options = { arrivals: { pattern: 'streams', streams: 8 } as const, requests: 100 }
    const together = await run({ ...options, profile: { ...plainMachine, ...two, devices: [0, 1] } })
    const inTurns = await run({ ...options, profile: { ...plainMachine, ...two, devices: [0, 0] } })
    sound(together, 100)
    sound(inTurns, 100)
    assert.ok(together.elapsedMs < 0.75 * inTurns.elapsedMs, `${together.elapsedMs} ${inTurns.elapsedMs}`)
    assert.equal(together.busyMs.length, 2)
    assert.ok(together.busyMs.every((ms) => ms <= together.elapsedMs))
  })

  it('lets an exit speak before the upper stage is done', async () => {
    const stages = {
      devices: [0, 0],
      costs: [
        [
          { rows: 1, ms: 3 },
          { rows: 512, ms: 130 },
        ],
        [
          { rows: 1, ms: 8 },
          { rows: 512, ms: 390 },
        ],
      ],
      attention: [0, 1].map(() => ({ cellMs: 0, pairMs: 0, loosePairMs: 0 })),
      exit: true,
    }
    const options = { profile: { ...plainMachine, ...stages }, mix: { translation: 1 }, minStability: 0 }
    const outcome = await run({ ...options, guesses: { exits: 0.9, coverage: 0 } })
    sound(outcome)
    const sooner = outcome.replies.filter(({ stable, committed }) => stable < committed)
    assert.ok(sooner.length > 70, `${sooner.length}`)
    assert.ok(outcome.accepted > 0.6 * outcome.drafted)
  })
})
