import fc from 'fast-check'
import { type Tier, tiers } from '../src/api/tiers.ts'
import { replay } from './replay.ts'
import { type Arrival, type Fate, type Guesses, type Schedule, serve } from './schedule-run.ts'
import { vocabulary } from './simulation.ts'

// Random schedules for fast-check: small, because a failure is to be read, and with values at which things change.

const token = fc.nat(vocabulary - 1)
const tokens = (least: number, most: number) => fc.array(token, { minLength: least, maxLength: most })

/** Beginnings that prompts have in common. */
const bases = [1, 2, 5].map((step) => Array.from({ length: 40 }, (_, i) => Math.floor((i * i) / step) % vocabulary))
const prompt = fc
  .record({ base: fc.constantFrom(...bases), take: fc.nat(40), rest: tokens(1, 12) })
  .map(({ base, take, rest }) => [...base.slice(0, take), ...rest])

const guesses: fc.Arbitrary<Guesses> = fc.record({ length: fc.nat(6), right: fc.nat(6) })

/** Small times, as the simulated steps take few milliseconds. */
const someTiers: Tier[] = [
  { ...tiers.npc, ttftMs: 10, itlMs: 12 },
  { ...tiers.chat, ttftMs: 50, itlMs: 40 },
  { ...tiers.batch, ttftMs: 300 },
]

const rarely = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value })

const arrival = (reply: fc.Arbitrary<number>, confident: fc.Arbitrary<number>): fc.Arbitrary<Arrival> =>
  fc
    .record(
      {
        at: fc.nat(20),
        prompt,
        salt: fc.constantFrom('', 'a', 'a', 'b'),
        tier: fc.constantFrom(...someTiers),
        reply,
        exits: fc.boolean(),
        guesses: fc.array(guesses, { maxLength: 4 }),
        branches: fc.array(guesses, { maxLength: 2 }),
        revise: fc.constantFrom(0, 0, 1, 2, 3),
        confident,
        cancel: rarely(fc.nat(30)),
        look: fc.record({
          at: fc.double({ min: 0.05, max: 0.95, noNaN: true }),
          rest: tokens(1, 8),
          burst: fc.integer({ min: 1, max: 5 }),
        }),
        typed: fc.array(fc.record({ right: fc.nat(40), wrong: fc.nat(5) }), { maxLength: 12 }),
        keep: fc.boolean(),
        ahead: fc.record({ budget: fc.integer({ min: 1, max: 4 }), adopt: fc.nat(20) }, { requiredKeys: ['budget'] }),
      },
      {
        requiredKeys: [
          ...(['at', 'prompt', 'salt', 'tier', 'reply', 'exits', 'guesses', 'branches', 'revise'] as const),
          ...(['confident', 'keep', 'cancel'] as const),
        ],
      },
    )
    // A text that is written has a namespace.
    .map(({ typed, ...rest }) => (typed && rest.salt !== '' ? { ...rest, typed } : rest))

const fate: fc.Arbitrary<Fate> = fc.record({ pick: fc.nat(3), aborted: rarely(fc.nat(8)) })

/**
 * Random schedules.
 * @param options.devices per stage its device, for one to four stages
 * @param options.spareCells cells beside what the largest request needs
 * @param options.reply length of a reply
 * @param options.confident see `Arrival`
 * @param options.unified see `Schedule`
 */
export function schedules(options: {
  devices: readonly (readonly number[])[]
  spareCells: fc.Arbitrary<number>
  reply?: fc.Arbitrary<number>
  confident?: fc.Arbitrary<number>
  unified?: fc.Arbitrary<boolean>
}): fc.Arbitrary<Schedule> {
  const { reply = fc.integer({ min: 1, max: 10 }), confident = fc.constant(0) } = options
  return fc
    .record({
      devices: fc.constantFrom(...options.devices),
      slots: fc.integer({ min: 1, max: 8 }),
      parallel: fc.integer({ min: 1, max: 6 }),
      unified: options.unified ?? fc.boolean(),
      spareCells: options.spareCells,
      keptBytes: fc.constantFrom(0, 300, 2000, 100_000),
      batch: fc.constantFrom(1, 2, 7, 16, 64),
      stepMs: fc.constantFrom(1, 10, 30, 1000),
      mixed: fc.constantFrom(undefined, undefined, 5, 20),
      tile: fc.constantFrom(undefined, undefined, 4, 16),
      background: fc.constantFrom(undefined, 3, 30),
      exit: fc.boolean(),
      cost: fc.record({ fixed: fc.constantFrom(0, 2, 9), row: fc.constantFrom(0.125, 1, 3) }),
      arrivals: fc.array(arrival(reply, confident), { minLength: 1, maxLength: 6 }),
      fates: fc.array(fate, { maxLength: 8 }),
      fails: fc.array(fc.nat(400), { maxLength: 3 }),
    })
    .map(({ batch, stepMs, mixed, tile, background, exit, fates, ...rest }) => ({
      ...rest,
      limits: {
        batch,
        stepMs,
        ...(mixed === undefined ? {} : { mixed }),
        ...(tile === undefined ? {} : { tile }),
        ...(background === undefined ? {} : { background }),
        ...(exit ? { exitStage: 0 } : {}),
      },
      // Not every step may be aborted.
      fates: [...fates, { pick: 0, aborted: undefined }],
    }))
}

/** Serves many schedules. Returns how often what has happened, for a test to see that it means something. */
export function serveMany(schedules: fc.Arbitrary<Schedule>, numRuns: number): Record<string, number> {
  const seen: Record<string, number> = {}
  const count = (name: string, by = 1) => {
    seen[name] = (seen[name] ?? 0) + by
  }
  fc.assert(
    fc.property(schedules, (schedule) => {
      const run = serve(schedule)
      count('steps', run.steps)
      count('preempted', run.scheduler.preemptions)
      for (const { over } of run.requests) count(over)
      for (const [name, by] of Object.entries(run.seen)) count(name, by)
    }),
    { numRuns, ...replay },
  )
  return seen
}
