import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Policy } from '../src/api/policies.ts'
import type { ProposerName } from '../src/api/proposer-names.ts'
import { type Tier, tiers } from '../src/api/tiers.ts'
import type { Penalties } from '../src/api/validation.ts'
import { sized } from './fixtures/test-size.ts'
import { replay } from './replay.ts'
import type { Arrival, EarlyPlan, Fate, Guesses, HeadGuess, Schedule } from './schedule.ts'
import { type ScheduleRun, serve } from './schedule-run.ts'
import { decodeAlone, vocabulary } from './simulated-model.ts'
import type { MemoryKind } from './simulation.ts'

// Random schedules for fast-check: small, because a failure is to be read, and with values at which things change.

const token = fc.nat(vocabulary - 1)
const tokens = (least: number, most: number) => fc.array(token, { minLength: least, maxLength: most })

/** Beginnings that prompts have in common. */
const bases = [1, 2, 5].map((step) => Array.from({ length: 40 }, (_, i) => Math.floor((i * i) / step) % vocabulary))
const prompt = fc
  .record({ base: fc.constantFrom(...bases), take: fc.nat(40), rest: tokens(1, 12) })
  .map(({ base, take, rest }) => [...base.slice(0, take), ...rest])
/** A turn of a conversation: the prompt of the one before, its reply, and something new. */
const turn = fc.record({ turns: fc.nat(3), reply: fc.integer({ min: 2, max: 6 }) }).map(({ turns, reply }) => {
  let prompt = [...bases[0]!.slice(0, 12), 1]
  for (let turn = 0; turn < turns; turn++) prompt = [...decodeAlone(prompt, reply, 1), 2, 1]
  return prompt
})

/** Small times, as the simulated steps take few milliseconds. */
const npc: Tier = { ...tiers.npc, ttftMs: 10, itlMs: 12 }
const chat: Tier = { ...tiers.chat, ttftMs: 50, itlMs: 40 }
const batch: Tier = { ...tiers.batch, ttftMs: 300 }

/** One time in so many a value, otherwise nothing. */
const rarely = <T>(value: fc.Arbitrary<T>, oneIn = 5): fc.Arbitrary<T | undefined> =>
  fc.oneof({ weight: oneIn - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value })

const share = fc.constantFrom(0, 0.1, 0.3, 0.5, 0.8, 0.95)
const lookahead = fc.record({ at: fc.constantFrom(0.1, 0.3, 0.5, 0.8), skip: share })
const guesses: fc.Arbitrary<Guesses> = fc.record({ length: fc.nat(6), right: fc.nat(6) })
const head: fc.Arbitrary<HeadGuess> = fc.record({
  rank: fc.constantFrom(0, 0, 1, 1, 2, 4),
  probability: fc.constantFrom(0.2, 0.6, 0.9, 1),
})
const everybody: readonly ProposerName[] = ['exit', 'skim', 'opening', 'lookup', 'prediction', 'grammar', 'draft']

const noPenalties: Penalties = { frequency: 0, presence: 0, repetition: 1 }
const penalties = fc.constantFrom(
  ...[noPenalties, noPenalties, noPenalties],
  ...[
    { ...noPenalties, frequency: 1 },
    { ...noPenalties, presence: 1.5 },
    { ...noPenalties, repetition: 1.4 },
    { frequency: 0.5, presence: 0.5, repetition: 1.2, window: 6 },
  ],
)
const early: fc.Arbitrary<EarlyPlan> = fc.record({
  budget: fc.integer({ min: 1, max: 4 }),
  adopt: fc.oneof(fc.constant(undefined), fc.nat(20), fc.nat(20)),
  more: fc.nat(3),
})

/** What of a schedule a test decides. */
interface Kind {
  /** Per stage its device, for one to four stages. */
  readonly devices: readonly (readonly number[])[]
  /** Cells beside what the largest request needs. */
  readonly spareCells: fc.Arbitrary<number>
  /** When requests come, ms. */
  readonly at: fc.Arbitrary<number>
  readonly prompt: fc.Arbitrary<number[]>
  readonly salt: fc.Arbitrary<string>
  /** Most and least tokens of a reply. */
  readonly reply: fc.Arbitrary<number>
  readonly minTokens: fc.Arbitrary<number>
  readonly policy: fc.Arbitrary<Policy>
  readonly unified: fc.Arbitrary<boolean>
  readonly memory: fc.Arbitrary<MemoryKind>
  /** Who may guess. */
  readonly proposers: fc.Arbitrary<readonly ProposerName[]>
  /** Places in the caches, and most requests at once. */
  readonly slots: fc.Arbitrary<number>
  readonly parallel: fc.Arbitrary<number>
  /** Least requests of a schedule; six at most. */
  readonly requests: number
  /** One schedule in so many has steps that fail. */
  readonly failing: number
}

/** Short replies, and policies that change no text. */
const usual: Omit<Kind, 'devices' | 'spareCells'> = {
  at: fc.nat(20),
  prompt,
  salt: fc.constantFrom('', 'a', 'a', 'b'),
  reply: fc.nat(10),
  minTokens: fc.constantFrom(0, 0, 0, 2, 5),
  policy: fc.constantFrom('committed', 'provisional', 'provisional'),
  unified: fc.boolean(),
  memory: fc.constantFrom('rows', 'rows', 'rows', 'window', 'state', 'snapshots'),
  proposers: fc.oneof(
    fc.constantFrom<readonly ProposerName[]>(everybody, ['exit'], ['exit', 'skim'], ['exit', 'lookup', 'draft']),
    fc.subarray([...everybody]),
  ),
  slots: fc.constantFrom(1, 2, 4, 6, 8, 12),
  parallel: fc.integer({ min: 1, max: 6 }),
  requests: 1,
  failing: 3,
}

function arrivals({ at, prompt, salt, reply, policy, minTokens, proposers }: Kind): fc.Arbitrary<Arrival> {
  const typed = fc.array(fc.record({ right: fc.nat(40), wrong: fc.nat(5) }), { maxLength: 12 })
  const constraint = fc.record({ language: fc.nat(1000), throwsAt: rarely(fc.nat(40)) })
  return fc
    .record({
      at,
      prompt,
      salt,
      shares: fc.constantFrom(true, true, true, false),
      tier: fc.constantFrom(npc, npc, chat, chat, batch),
      reply,
      policy,
      alpha: share,
      minStability: share,
      stop: fc.constantFrom([], [], [], ['ab', 'da'], ['c'], ['abc', 'bc', 'fe']),
      minTokens,
      temperature: fc.constantFrom(0, 0, 0, 1),
      bias: fc.array(fc.tuple(token, fc.constantFrom(-100, -2, 2)), { maxLength: 1 }),
      penalties,
      logprobs: fc.constantFrom(undefined, undefined, 0, 2),
      promptLogprobs: rarely(fc.constantFrom(0, 2), 6),
      constraint: rarely(constraint),
      proposers,
      guesses: fc.array(guesses, { maxLength: 4 }),
      heads: fc.array(head, { minLength: 1, maxLength: 4 }),
      lookaheads: fc.array(lookahead, { maxLength: 3 }),
      cancel: rarely(fc.nat(30)),
      typed: rarely(typed, 2),
      keep: fc.boolean(),
      forget: rarely(fc.nat(40), 4),
      early: rarely(early, 4),
      throwsAt: rarely(fc.nat(12), 16),
      cancelsAt: rarely(fc.nat(12), 16),
    })
    .map(({ constraint, typed, early, ...rest }) => ({
      ...rest,
      ...(constraint && { constraint }),
      ...(typed && { typed }),
      ...(early && { early }),
    }))
}

/** Requests that come one after the other and go on from those before. */
export const conversations: Partial<Kind> = {
  at: fc.nat(800),
  prompt: turn,
  salt: fc.constantFrom('a', 'a', 'a', 'a', 'b'),
  unified: fc.constant(true),
  slots: fc.constantFrom(4, 6, 12),
  memory: fc.constantFrom('rows', 'window', 'state', 'snapshots'),
  requests: 4,
}

const fate: fc.Arbitrary<Fate> = fc.record({ pick: fc.nat(3), aborted: rarely(fc.nat(8)), done: fc.boolean() })
const failure = fc.record({ step: fc.nat(200), result: fc.constantFrom('failed', 'full') })
const pause = fc.record({ at: fc.nat(30), microtasks: fc.nat(8) })

export function schedules(options: Pick<Kind, 'devices' | 'spareCells'> & Partial<Kind>): fc.Arbitrary<Schedule> {
  const kind = { ...usual, ...options }
  const limits = {
    batch: fc.constantFrom(1, 2, 7, 16, 64),
    stepMs: fc.constantFrom(1, 10, 30, 1000),
    mixed: fc.constantFrom(undefined, undefined, 5, 20),
    tile: fc.constantFrom(undefined, undefined, 4, 16),
    background: fc.constantFrom(undefined, 3, 30),
    outputs: fc.constantFrom(undefined, undefined, 4, 20),
    exit: fc.constantFrom(true, true, true, false),
  }
  return fc
    .record({
      devices: fc.constantFrom(...kind.devices),
      slots: kind.slots,
      parallel: kind.parallel,
      maxWaiting: fc.constantFrom(2, 100, 100),
      unified: kind.unified,
      memory: kind.memory,
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
      arrivals: fc.array(arrivals(kind), { minLength: kind.requests, maxLength: 6 }),
      fates: fc.array(fate, { maxLength: 8 }),
      failures: rarely(fc.array(failure, { minLength: 1, maxLength: 2 }), kind.failing).map((some) => some ?? []),
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
    .map(withMemory)
}

/** Other memories than full attention run as the engine lays them out: one stage, one cache for all. */
function withMemory(schedule: Schedule): Schedule {
  const { memory, limits, arrivals } = schedule
  if (memory === 'rows') return schedule
  if (schedule.devices.length > 1) return { ...schedule, memory: 'rows' }
  const unified = { ...schedule, unified: true, limits: { ...limits, separateCaches: false } }
  if (memory === 'window') return unified
  // A state cannot be cut into stages.
  const uncut = { ...unified, limits: { ...unified.limits, exit: false, separateCaches: true } }
  if (memory === 'snapshots') return uncut
  // Without snapshots only a checkpoint takes a guess back: none is made in a prompt.
  const inReplies = (name: ProposerName) => name !== 'opening' && name !== 'skim'
  const guessing = arrivals.map((one) => ({ ...one, proposers: one.proposers.filter(inReplies), lookaheads: [] }))
  return { ...uncut, arrivals: guessing }
}

/** A record without what is undefined. */
function defined<T extends object>(record: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as never
}

/**
 * Serves many random schedules.
 * @param enough how often at least things must happen in this many schedules: a test that leads to nothing says nothing
 * @returns the body of a test: whether everything was as it must be. The schedules are served before it begins, because the
 * test runner watches every promise, which takes as long as the rest
 */
export async function serveMany(
  schedules: fc.Arbitrary<Schedule>,
  schedulesInAll: number,
  enough: Readonly<Record<string, number>>,
): Promise<() => void> {
  const seen: Record<string, number> = {}
  const property = fc.asyncProperty(schedules, async (schedule) => {
    for (const [name, by] of Object.entries(ledTo(await serve(schedule)))) seen[name] = (seen[name] ?? 0) + by
  })
  const details = await fc.check(property, { numRuns: sized(schedulesInAll), ...replay })
  return () => {
    if (details.failed) throw new Error(fc.defaultReportMessage(details), { cause: details.errorInstance })
    if (process.env.SEEN) console.log(seen)
    for (const [name, least] of Object.entries(enough)) {
      assert.ok((seen[name] ?? 0) >= sized(least), `${name}: ${seen[name]} of at least ${sized(least)}`)
    }
  }
}

/** What a schedule has led to. */
function ledTo({ executor, caches, loop, events, requests, seen }: ScheduleRun): Record<string, number> {
  const { steps, overlapped, stopped } = executor
  const { branched: alternatives, early: confident, accepted, tolerated } = loop.stats
  const { preemptions: preempted } = loop.scheduler
  const { wentBack, rewound } = caches
  const { adopted } = events
  const led = {
    ...seen,
    wentBack,
    rewound,
    adopted,
    steps,
    overlapped,
    stopped,
    alternatives,
    confident,
    accepted,
    tolerated,
    preempted,
  }
  const outcomes: Record<string, number> = {}
  const count = (name: string, by = 1) => {
    outcomes[name] = (outcomes[name] ?? 0) + by
  }
  for (const { outcome, client, plan, constraintThrew, learners } of requests) {
    if (outcome === undefined) continue
    for (const { judged } of learners) count('judged', judged)
    count(outcome)
    const finished = outcome === 'stop' || outcome === 'length' || outcome === 'context'
    if (finished) count('finished')
    if (finished && plan.chooser.constrained) count('constrained')
    if (finished && client.prompt.length === plan.prompt.length) count('scored')
    if (outcome === 'failed' && client.threw) count('failedSinks')
    if (constraintThrew) count('failedConstraints')
  }
  return { ...led, ...outcomes }
}
