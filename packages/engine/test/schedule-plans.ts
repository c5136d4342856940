import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Policy } from '../src/api/policies.ts'
import { type Tier, tiers } from '../src/api/tiers.ts'
import type { Penalties } from '../src/api/validation.ts'
import { sized } from './fixtures/test-size.ts'
import { replay } from './replay.ts'
import type { Arrival, EarlyPlan, Fate, Guesses, HeadGuess, Schedule } from './schedule.ts'
import { serve } from './schedule-run.ts'
import { vocabulary } from './simulated-model.ts'

// Random schedules for fast-check: small, because a failure is to be read, and with values at which things change.

const token = fc.nat(vocabulary - 1)
const tokens = (least: number, most: number) => fc.array(token, { minLength: least, maxLength: most })

/** Beginnings that prompts have in common. */
const bases = [1, 2, 5].map((step) => Array.from({ length: 40 }, (_, i) => Math.floor((i * i) / step) % vocabulary))
const prompt = fc
  .record({ base: fc.constantFrom(...bases), take: fc.nat(40), rest: tokens(1, 12) })
  .map(({ base, take, rest }) => [...base.slice(0, take), ...rest])

/** Small times, as the simulated steps take few milliseconds. */
const someTiers: Tier[] = [
  { ...tiers.npc, ttftMs: 10, itlMs: 12 },
  { ...tiers.chat, ttftMs: 50, itlMs: 40 },
  { ...tiers.batch, ttftMs: 300 },
]

/** One time in so many a value, otherwise nothing. */
const rarely = <T>(value: fc.Arbitrary<T>, oneIn = 5): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: oneIn - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value })

const share = fc.constantFrom(0, 0.1, 0.3, 0.5, 0.8, 0.95)
const guesses: fc.Arbitrary<Guesses> = fc.record({ length: fc.nat(6), right: fc.nat(6) })
const head: fc.Arbitrary<HeadGuess> = fc.record({
  rank: fc.constantFrom(0, 0, 0, 1, 2, 5),
  probability: fc.constantFrom(0.2, 0.6, 0.9, 1),
})
const proposers = fc.subarray(['exit', 'skim', 'opening', 'lookup', 'prediction', 'grammar', 'draft'] as const)

const noPenalties: Penalties = { frequency: 0, presence: 0, repetition: 1 }
const penalties = fc.constantFrom(
  ...[noPenalties, noPenalties, noPenalties],
  ...[
    { ...noPenalties, frequency: 1 },
    { ...noPenalties, presence: 1.5 },
    { ...noPenalties, repetition: 1.4 },
  ],
)
const early: fc.Arbitrary<EarlyPlan> = fc.record({
  budget: fc.integer({ min: 1, max: 4 }),
  adopt: fc.oneof(fc.constant(undefined), fc.nat(20), fc.nat(20)),
  more: fc.nat(3),
})

function arrivals(reply: fc.Arbitrary<number>, policy: fc.Arbitrary<Policy>): fc.Arbitrary<Arrival> {
  const typed = fc.array(fc.record({ right: fc.nat(40), wrong: fc.nat(5) }), { maxLength: 12 })
  const constraint = fc.record({ language: fc.nat(1000), throwsAt: rarely(fc.nat(40)) })
  return fc
    .record({
      at: fc.nat(20),
      prompt,
      salt: fc.constantFrom('', 'a', 'a', 'b'),
      shares: fc.constantFrom(true, true, true, false),
      tier: fc.constantFrom(...someTiers),
      reply,
      policy,
      alpha: share,
      minStability: share,
      stop: fc.constantFrom([], [], [], ['ab', 'da'], ['c'], ['abc', 'bc', 'fe']),
      minTokens: fc.constantFrom(0, 0, 0, 2, 5),
      temperature: fc.constantFrom(0, 0, 0, 1),
      bias: fc.array(fc.tuple(token, fc.constantFrom(-100, -2, 2)), { maxLength: 1 }),
      penalties,
      logprobs: fc.constantFrom(undefined, undefined, 0, 2),
      constraint: rarely(constraint),
      proposers,
      guesses: fc.array(guesses, { maxLength: 4 }),
      heads: fc.array(head, { maxLength: 4 }),
      lookaheads: fc.array(fc.record({ at: share, skip: share }), { maxLength: 3 }),
      cancel: rarely(fc.nat(30)),
      typed: rarely(typed, 2),
      keep: fc.boolean(),
      forget: rarely(fc.nat(40), 4),
      early: rarely(early, 3),
      throwsAt: rarely(fc.nat(12), 12),
    })
    .map(({ constraint, typed, early, ...rest }) => ({
      ...rest,
      ...(constraint && { constraint }),
      ...(typed && { typed }),
      ...(early && { early }),
    }))
}

const fate: fc.Arbitrary<Fate> = fc.record({ pick: fc.nat(3), aborted: rarely(fc.nat(8)), done: fc.boolean() })
const pause = fc.record({ at: fc.nat(30), microtasks: fc.nat(8) })

/** What of a schedule a test decides. */
interface Kind {
  /** Per stage its device, for one to four stages. */
  readonly devices: readonly (readonly number[])[]
  /** Cells beside what the largest request needs. */
  readonly spareCells: fc.Arbitrary<number>
  /** Length of a reply. */
  readonly reply?: fc.Arbitrary<number>
  readonly policy?: fc.Arbitrary<Policy>
  readonly unified?: fc.Arbitrary<boolean>
}

export function schedules(kind: Kind): fc.Arbitrary<Schedule> {
  const {
    reply = fc.integer({ min: 1, max: 10 }),
    policy = fc.constantFrom<Policy>('committed', 'provisional', 'provisional'),
    unified = fc.boolean(),
  } = kind
  const limits = {
    batch: fc.constantFrom(1, 2, 7, 16, 64),
    stepMs: fc.constantFrom(1, 10, 30, 1000),
    mixed: fc.constantFrom(undefined, undefined, 5, 20),
    tile: fc.constantFrom(undefined, undefined, 4, 16),
    background: fc.constantFrom(undefined, 3, 30),
    exit: fc.boolean(),
  }
  return fc
    .record({
      devices: fc.constantFrom(...kind.devices),
      slots: fc.integer({ min: 1, max: 8 }),
      parallel: fc.integer({ min: 1, max: 6 }),
      maxWaiting: fc.constantFrom(2, 100, 100),
      unified,
      spareCells: kind.spareCells,
      savedBytes: fc.constantFrom(0, 300, 2000, 100_000),
      shortContext: fc.constantFrom(0, 0, 3),
      limits: fc.record(limits),
      cost: fc.record({ fixed: fc.constantFrom(0, 2, 9), row: fc.constantFrom(0.125, 1, 3) }),
      pays: fc.option(fc.array(fc.constantFrom(true, true, true, false), { maxLength: 4 }), {
        nil: undefined,
        freq: 3,
      }),
      odds: fc.array(share, { maxLength: 3 }),
      drafts: fc.boolean(),
      arrivals: fc.array(arrivals(reply, policy), { minLength: 1, maxLength: 6 }),
      fates: fc.array(fate, { maxLength: 8 }),
      failures: fc.array(fc.record({ step: fc.nat(400), result: fc.constantFrom('failed', 'full') }), { maxLength: 3 }),
      pauses: fc.array(pause, { maxLength: 2 }),
      reentries: fc.array(fc.nat(60), { maxLength: 3 }),
      failAt: rarely(fc.nat(40), 20),
    })
    .map(({ limits, fates, ...rest }) => ({
      ...rest,
      limits: { ...defined(limits), separateCaches: !rest.unified },
      // Not every step may be aborted.
      fates: [...fates, { pick: 0, aborted: undefined, done: false }],
    }))
}

/** A record without what is undefined. */
function defined<T extends object>(record: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as never
}

/**
 * Serves many random schedules.
 * @param enough how often at least things must happen in this many schedules: a test that leads to nothing says nothing
 */
export async function serveMany(
  schedules: fc.Arbitrary<Schedule>,
  schedulesInAll: number,
  enough: Readonly<Record<string, number>>,
): Promise<void> {
  const seen: Record<string, number> = {}
  const count = (name: string, by = 1) => {
    seen[name] = (seen[name] ?? 0) + by
  }
  const property = fc.asyncProperty(schedules, async (schedule) => {
    const { executor, loop, requests, seen: led } = await serve(schedule)
    const { steps, overlapped, stopped } = executor
    const { branched, early, accepted, rejected, tolerated } = loop.stats
    for (const [name, by] of Object.entries({ steps, overlapped, stopped, accepted, rejected, tolerated, ...led })) {
      count(name, by)
    }
    count('preempted', loop.scheduler.preemptions)
    count('alternatives', branched)
    count('confident', early)
    for (const { outcome = 'never begun', client, plan, constraintThrew } of requests) {
      count(outcome)
      const finished = ['stop', 'length', 'context'].includes(outcome)
      if (finished) count('finished')
      if (finished && plan.chooser.constrained) count('constrained')
      if (client.threw && outcome === 'failed') count('failedSinks')
      if (constraintThrew) count('failedConstraints')
    }
  })
  await fc.assert(property, { numRuns: sized(schedulesInAll), ...replay })
  if (process.env.SEEN) console.log(seen)
  for (const [name, least] of Object.entries(enough)) {
    assert.ok((seen[name] ?? 0) >= sized(least), `${name}: ${seen[name]} of at least ${sized(least)}`)
  }
}
