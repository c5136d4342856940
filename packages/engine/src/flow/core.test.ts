import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Arrival, type Guesses, type Schedule, serve } from '../../test/schedule-run.ts'
import { vocabulary } from '../../test/simulation.ts'
import { type Caches, Core } from './core.ts'

// FC_SEED=<seed> replays the schedules of a run that failed; fast-check prints the seed.
const replay = process.env.FC_SEED === undefined ? {} : { seed: Number(process.env.FC_SEED) }

const token = fc.nat(vocabulary - 1)
const tokens = (least: number, most: number) => fc.array(token, { minLength: least, maxLength: most })

const guesses: fc.Arbitrary<Guesses> = fc.record({ length: fc.nat(6), right: fc.nat(6) })

const arrival: fc.Arbitrary<Arrival> = fc.record(
  {
    at: fc.nat(20),
    prompt: tokens(1, 40),
    reply: fc.integer({ min: 1, max: 10 }),
    exits: fc.boolean(),
    look: fc.record({
      at: fc.double({ min: 0.05, max: 0.95, noNaN: true }),
      rest: tokens(1, 8),
      burst: fc.integer({ min: 1, max: 5 }),
    }),
    cancel: fc.record({ after: fc.nat(15), during: fc.boolean() }),
    guesses: fc.array(guesses, { maxLength: 4 }),
    revise: fc.constantFrom(0, 0, 1, 2, 3),
    typed: fc.array(fc.record({ right: fc.nat(40), wrong: fc.nat(5) }), { maxLength: 12 }),
    keep: fc.boolean(),
    background: fc.boolean(),
  },
  { requiredKeys: ['at', 'prompt', 'reply', 'exits', 'guesses', 'revise', 'keep', 'background'] },
)

const schedules: fc.Arbitrary<Schedule> = fc
  .record({
    stages: fc.integer({ min: 1, max: 4 }),
    slots: fc.integer({ min: 1, max: 6 }),
    batch: fc.constantFrom(1, 2, 7, 16, 64),
    mixedPrompt: fc.constantFrom(1, 4, 16),
    exit: fc.boolean(),
    arrivals: fc.array(arrival, { minLength: 1, maxLength: 6 }),
    aborts: fc.array(fc.integer({ min: -6, max: 6 }), { maxLength: 5 }),
  })
  .map(({ batch, mixedPrompt, exit, aborts, ...rest }) => ({
    ...rest,
    limits: { batch, mixedPrompt, ...(exit ? { exitStage: 0 } : {}) },
    // Not every step may be aborted.
    aborts: aborts.length === 0 ? [] : [...aborts, -1],
  }))

test('any schedule: committed tokens are those of sequential decoding, and no row leaks', () => {
  const seen = { steps: 0, finished: 0 }
  fc.assert(
    fc.property(schedules, (schedule) => {
      seen.steps += serve(schedule)
      seen.finished++
    }),
    { numRuns: 5000, ...replay },
  )
  assert.ok(seen.steps > 10 * seen.finished, 'the schedules are too short to mean anything')
})

/** A core over caches that only write down what was done to them. */
function recorded(options: { stages?: number; slots?: number; batch?: number } = {}) {
  const calls: string[] = []
  const caches: Caches = {
    remove: (stage, slot, from) => calls.push(`remove ${stage} ${slot} ${from}`),
    share: (stage, from, to, end) => calls.push(`share ${stage} ${from} ${to} ${end}`),
  }
  const { stages = 1, slots = 2, batch = 100 } = options
  const core = new Core({ stages, slots, caches, limits: { batch, mixedPrompt: 100 } })
  return { core, calls }
}

function runAll(core: Core): void {
  for (let step = core.next(); step !== undefined; step = core.next()) core.ran(step)
}

test('a full core takes no sequence and no fork', () => {
  const { core } = recorded({ slots: 1 })
  const sequence = core.add([1, 2, 3])!
  assert.equal(core.add([1]), undefined)
  runAll(core)
  assert.equal(core.fork(sequence, 2, [5]), undefined)
  assert.equal(core.sequences.size, 1)
})

test('the prompt is copied: what the caller does with its array afterwards changes nothing', () => {
  const { core } = recorded()
  const prompt = [1, 2, 3]
  const sequence = core.add(prompt)!
  prompt.push(4)
  assert.deepEqual(sequence.tokens, [1, 2, 3])
})

test('a decision extends, confirms or replaces, and a replaced tail leaves every stage that had computed it', () => {
  const { core, calls } = recorded({ stages: 2 })
  const sequence = core.add([1, 2])!
  runAll(core)
  assert.equal(core.decide(sequence, 3), 'extended')
  core.draft(sequence, [4, 5, 6])
  runAll(core)
  assert.equal(core.decide(sequence, 4), 'confirmed')
  assert.deepEqual(calls, [])
  assert.equal(core.decide(sequence, 9), 'replaced')
  assert.deepEqual(sequence.tokens, [1, 2, 3, 4, 9])
  assert.deepEqual(sequence.computed, [4, 4])
  assert.deepEqual(calls, [`remove 0 ${sequence.slot} 4`, `remove 1 ${sequence.slot} 4`])
})

test('a tail that no stage has computed is replaced without touching a cache', () => {
  const { core, calls } = recorded()
  const sequence = core.add([1, 2])!
  runAll(core)
  core.draft(sequence, [3, 4])
  assert.equal(core.decide(sequence, 7), 'replaced')
  assert.deepEqual(sequence.tokens, [1, 2, 7])
  assert.deepEqual(calls, [])
})

test('committed tokens cannot be replaced', () => {
  const { core } = recorded()
  const sequence = core.add([1, 2])!
  runAll(core)
  core.decide(sequence, 3)
  assert.throws(() => core.replace(sequence, 2, [9]), RangeError)
  assert.deepEqual(sequence.tokens, [1, 2, 3])
})

test('a fork shares computed rows in every stage, and takes no other fork point', () => {
  const { core, calls } = recorded({ stages: 2, batch: 2 })
  const parent = core.add([1, 2, 3, 4])!
  parent.limit = 2
  core.ran(core.next()!)
  assert.throws(() => core.fork(parent, 2, [9]), RangeError, 'the last stage has not computed it')
  runAll(core)
  const fork = core.fork(parent, 2, [9, 8])!
  assert.deepEqual(fork.tokens, [1, 2, 9, 8])
  assert.deepEqual(fork.computed, [2, 2])
  assert.deepEqual(calls, [`share 0 ${parent.slot} ${fork.slot} 2`, `share 1 ${parent.slot} ${fork.slot} 2`])
  parent.limit = Number.POSITIVE_INFINITY
  runAll(core)
  core.draft(parent, [5])
  runAll(core)
  assert.throws(() => core.fork(parent, 5, []), RangeError, 'a guess may be rolled back under the fork')
})

test('a sequence that ends takes its forks along', () => {
  const { core } = recorded()
  const parent = core.add([1, 2])!
  runAll(core)
  const fork = core.fork(parent, 1, [3])!
  core.remove(parent)
  assert.equal(core.has(fork), false)
  assert.equal(core.freeSlots, 2)
})

test('removed under a running step: the rows and the slot go when it ends, not before', () => {
  for (const end of ['ran', 'aborted'] as const) {
    const { core, calls } = recorded({ slots: 1 })
    const sequence = core.add([1, 2, 3])!
    const step = core.next()!
    core.remove(sequence)
    core.remove(sequence)
    assert.deepEqual(calls, [])
    assert.equal(core.add([4]), undefined)
    core[end](step)
    assert.equal(calls.at(-1), 'remove 0 0 0')
    assert.equal(core.freeSlots, 1)
    assert.deepEqual(core.add([4])!.computed, [0])
  }
})

test('an aborted step counts for nothing and runs again', () => {
  const { core, calls } = recorded()
  const sequence = core.add([1, 2, 3])!
  const step = core.next()!
  core.aborted(step)
  assert.deepEqual(calls, [`remove 0 ${sequence.slot} 0`])
  assert.deepEqual(core.next()!.rows, step.rows)
})

test('without work there is no step, and a sequence can be removed at once', () => {
  const { core, calls } = recorded()
  const sequence = core.add([1])!
  runAll(core)
  assert.equal(core.next(), undefined)
  core.remove(sequence)
  assert.deepEqual(calls, [`remove 0 ${sequence.slot} 0`])
})

test('a text that is revised keeps what agrees, and a reply branches off it without its last row', () => {
  const { core, calls } = recorded({ stages: 2, slots: 2 })
  const text = core.open()!
  core.revise(text, [1, 2, 3, 4])
  runAll(core)
  core.revise(text, [1, 2, 9])
  assert.deepEqual(text.computed, [2, 2])
  assert.deepEqual(calls.splice(0), [`remove 0 ${text.slot} 2`, `remove 1 ${text.slot} 2`])
  runAll(core)
  const reply = core.branch(text, [1, 2, 9])!
  assert.deepEqual(reply.computed, [2, 2], 'the last row has to run: its logits are wanted')
  assert.equal(core.branch(text, [1]), undefined, 'no slot is left')
  core.revise(text, [7])
  assert.deepEqual(reply.tokens, [1, 2, 9])
  assert.deepEqual(reply.computed, [2, 2])
})

test('a reply that shares nothing with the text starts from nothing', () => {
  const { core, calls } = recorded()
  const text = core.open()!
  core.revise(text, [1, 2])
  runAll(core)
  assert.deepEqual(core.branch(text, [3, 4])!.computed, [0])
  assert.deepEqual(calls, [])
})
