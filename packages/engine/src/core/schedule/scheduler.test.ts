import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeAlone, SimulatedStages } from '../../../test/simulation.ts'
import { type Tier, tiers } from '../../api/tiers.ts'
import type { Costs } from '../cost/costs.ts'
import { fullAttention } from '../kv/sequence-memory.ts'
import type { Sequence, Step } from '../sequences/sequence.ts'
import { SequenceTable } from '../sequences/sequence-table.ts'
import { type Job, Scheduler } from './scheduler.ts'

/** A row takes a millisecond. */
const linear: Costs = { rows: (_stage, rows) => rows, within: (_stage, ms) => Math.max(1, Math.floor(ms)) }

interface Options {
  devices?: number[]
  slots?: number
  cells?: number
  unified?: boolean
  parallel?: number
  keptBytes?: number
  batch?: number
}

interface Request extends Job {
  readonly name: string
  done: boolean
}

/** A scheduler over simulated stages, with a clock, and a diary of what became of the requests. */
class Bench {
  readonly table: SequenceTable
  readonly scheduler: Scheduler<Request>
  readonly diary: string[] = []
  readonly #caches: SimulatedStages
  readonly #stages: number
  readonly #devices: readonly number[]
  now = 0

  constructor(options: Options = {}) {
    const {
      devices = [0],
      slots = 10,
      cells = 1000,
      unified = true,
      parallel = 4,
      keptBytes = 0,
      batch = 100,
    } = options
    this.#devices = devices
    this.#stages = devices.length
    this.#caches = new SimulatedStages({ stages: devices.length, slots, cells, unified })
    const limits = { batch, stepMs: 1000 }
    this.table = new SequenceTable({ devices, slots, cells, memory: fullAttention(unified), caches: this.#caches })
    this.scheduler = new Scheduler(this.table, {
      costs: linear,
      limits,
      parallel,
      keptBytes,
      events: {
        began: ({ name, cached }) => this.diary.push(cached > 0 ? `${name} began with ${cached}` : `${name} began`),
        guessesDropped: ({ name }) => this.diary.push(`${name} lost its guesses`),
        preempted: ({ name, sequence }) => this.diary.push(`${name} was preempted at ${sequence!.committed}`),
        dropped: ({ name }) => this.diary.push(`${name} was dropped`),
      },
    })
  }

  /** Submits a request; `prompt`: its tokens, or how many. */
  submit(name: string, prompt: number | readonly number[], rest: Partial<Request> = {}): Request {
    const request: Request = {
      name,
      prompt: typeof prompt === 'number' ? list(name.charCodeAt(0), prompt) : prompt,
      cacheNamespace: 'a',
      tier: tiers.chat,
      arrival: this.now,
      wantsExit: false,
      shares: true,
      scoresFrom: Number.POSITIVE_INFINITY,
      maxTokens: 5,
      revocable: false,
      phase: 'waiting',
      sequence: undefined,
      cached: 0,
      resume: undefined,
      done: false,
      ...rest,
    }
    this.scheduler.submit(request)
    return request
  }

  /** What was written into the diary since the last time. */
  read(): string[] {
    return this.diary.splice(0)
  }

  admit(): string[] {
    this.scheduler.admit(this.now)
    return this.read()
  }

  begin(device = 0): Step | undefined {
    const step = this.scheduler.next(device, this.now)
    if (step) this.#caches.begin(step)
    return step
  }

  /** A step ends; tokens of replies are decided, and requests end. */
  end(step: Step): void {
    this.#caches.end(step)
    this.now += step.rows.reduce((ms, { from, to }) => ms + to - from, 0)
    this.#caches.settle(step)
    this.table.ran(step, this.now)
    if (step.stage < this.#stages - 1) return
    for (const { sequence, slot } of step.rows) {
      const request = [...this.scheduler.running].find((one) => one.sequence === sequence)
      while (request && sequence.committed <= sequence.computed.at(-1)!) {
        const token = this.#caches.tokenAfter(slot, sequence.committed - 1)
        if (token === undefined) break
        this.table.decide(sequence, token)
        if (sequence.committed - sequence.prompt >= request.maxTokens) {
          const expected = decodeAlone(request.prompt, request.maxTokens, this.#stages)
          assert.deepEqual(sequence.tokens.slice(0, sequence.committed), expected)
          request.done = true
          this.diary.push(`${request.name} ended`)
          this.scheduler.end(request, true)
          break
        }
      }
    }
  }

  abort(step: Step): void {
    this.#caches.end(step, 0)
    this.table.aborted(step)
  }

  /** Admits and runs a step of every device. False when nothing runs. */
  turn(): boolean {
    this.scheduler.admit(this.now)
    const steps = [...new Set(this.#devices)].flatMap((device) => this.begin(device) ?? [])
    for (const step of steps) this.end(step)
    return steps.length > 0
  }

  /** Runs until nothing is left to do. */
  run(): string[] {
    for (let turns = 0; this.turn(); turns++) assert.ok(turns < 10_000, 'it never ends')
    return this.read()
  }

  /** A text that is still being written, computed. */
  text(tokens: readonly number[], salt = 'a'): Sequence {
    const sequence = this.table.addInput()!
    this.scheduler.prefixes.enter(sequence, salt, () => this.diary.push('a text gave way'))
    this.table.revise(sequence, tokens)
    this.scheduler.prefixes.changed(sequence)
    this.run()
    return sequence
  }
}

/** Tokens that differ from those of other seeds from the first on. */
function list(seed: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (seed + i * i) % 6)
}

// --- places ---------------------------------------------------------------------------------------------------------

test('requests get their places in the order in which they are due', () => {
  const bench = new Bench({ parallel: 1 })
  bench.submit('batch', 5, { tier: tiers.batch })
  bench.submit('chat', 5)
  bench.submit('long', 150, { arrival: -20 })
  bench.submit('npc', 5, { tier: tiers.npc, arrival: 100 })
  assert.deepEqual(
    bench.run().filter((line) => line.endsWith('began')),
    ['npc began', 'chat began', 'long began', 'batch began'],
  )
})

test('no more run at a time than may', () => {
  const bench = new Bench({ parallel: 2 })
  for (const name of ['a', 'b', 'c']) bench.submit(name, 5)
  assert.deepEqual(bench.admit(), ['a began', 'b began'])
  assert.equal(bench.scheduler.waiting.length, 1)
  assert.equal(bench.run().filter((line) => line.endsWith('ended')).length, 3)
})

test('a batch job that is due comes before others that are not', () => {
  const bench = new Bench({ parallel: 1 })
  bench.now = 70_000
  bench.submit('chat', 5)
  bench.submit('batch', 5, { tier: tiers.batch, arrival: 0 })
  assert.deepEqual(bench.admit(), ['batch began'])
})

test('work for a text that is not final waits behind everybody', () => {
  const bench = new Bench({ parallel: 1 })
  bench.submit('ahead', 5, { revocable: true, tier: tiers.npc })
  bench.submit('batch', 5, { tier: tiers.batch })
  assert.deepEqual(bench.admit(), ['batch began'])
})

test('for a place revocable work goes for good, then batch jobs wait again', () => {
  const bench = new Bench({ parallel: 2 })
  bench.submit('ahead', 5, { revocable: true })
  bench.submit('batch', 5, { tier: tiers.batch })
  assert.deepEqual(bench.admit(), ['batch began', 'ahead began'])
  bench.submit('a', 5)
  assert.deepEqual(bench.admit(), ['ahead was dropped', 'a began'])
  bench.submit('b', 5)
  assert.deepEqual(bench.admit(), ['batch was preempted at 5', 'b began'])
  bench.submit('c', 5)
  bench.submit('more', 5, { tier: tiers.batch })
  bench.submit('revocable', 5, { revocable: true })
  assert.deepEqual(bench.admit(), [], 'nobody gives way to these, or is worth less')
  const ended = bench.run().filter((line) => line.endsWith('ended'))
  assert.deepEqual(ended.slice(0, 3).sort(), ['a ended', 'b ended', 'c ended'])
  assert.deepEqual(ended.slice(3), ['batch ended', 'more ended', 'revocable ended'])
})

test('a job that waits to come back has its committed tokens, without guesses', () => {
  const bench = new Bench({ parallel: 1 })
  const job = bench.submit('batch', 10, { tier: tiers.batch, maxTokens: 20 })
  for (let turns = 0; turns < 4; turns++) bench.turn()
  bench.table.append(job.sequence!, [1, 2, 3])
  bench.submit('a', 5)
  bench.admit()
  assert.deepEqual(job.resume, decodeAlone(job.prompt, 4, 1))
  assert.deepEqual(bench.run().slice(-1), ['batch ended'])
})

test('a batch job that is overdue keeps its place', () => {
  const bench = new Bench({ parallel: 1 })
  bench.submit('batch', 5, { tier: tiers.batch })
  bench.admit()
  bench.now = 60_001
  bench.submit('chat', 5)
  assert.deepEqual(bench.admit(), [])
})

test('nobody loses a place while rows of it run', () => {
  const bench = new Bench({ parallel: 2 })
  bench.submit('ahead', 5, { revocable: true })
  bench.admit()
  const step = bench.begin()!
  bench.submit('batch', 5, { tier: tiers.batch })
  bench.submit('a', 5)
  assert.deepEqual(bench.admit(), ['a began'])
  bench.submit('b', 5)
  assert.deepEqual(bench.admit(), [], 'what runs')
  bench.end(step)
  assert.deepEqual(bench.admit(), ['ahead was dropped', 'b began'])
})

// --- memory ---------------------------------------------------------------------------------------------------------

test('a request waits until its prompt and the next part of its reply fit', () => {
  // 40 tokens of prompt, 5 of reply, 32 for guesses.
  const fits = new Bench({ cells: 154 })
  fits.submit('a', 40)
  fits.submit('b', 40)
  assert.deepEqual(fits.admit(), ['a began', 'b began'])
  const full = new Bench({ cells: 153 })
  full.submit('a', 40)
  full.submit('b', 40)
  assert.deepEqual(full.admit(), ['a began'])
  assert.deepEqual(full.run(), ['a ended', 'b began', 'b ended'])
})

test('of a long reply the next 64 tokens are claimed', () => {
  const bench = new Bench({ cells: 2 * (40 + 64 + 32) })
  bench.submit('a', 40, { maxTokens: 500 })
  bench.submit('b', 40, { maxTokens: 500 })
  assert.deepEqual(bench.admit(), ['a began', 'b began'])
})

test('a request that is alone gets its place, however much it would like', () => {
  const bench = new Bench({ cells: 50 })
  bench.submit('a', 40)
  assert.deepEqual(bench.run(), ['a began', 'a ended'])
})

test('who is due first waits for room, and nobody overtakes', () => {
  const bench = new Bench({ cells: 250 })
  bench.submit('a', 40)
  bench.admit()
  bench.submit('b', 150)
  bench.submit('c', 10, { arrival: 2500 })
  assert.deepEqual(bench.admit(), [])
})

test('rows that are shared count once', () => {
  const bench = new Bench({ cells: 160 })
  const prompt = list(1, 80)
  bench.submit('a', prompt, { maxTokens: 10 })
  bench.turn()
  bench.submit('b', [...prompt, 1])
  assert.deepEqual(bench.read(), ['a began'])
  assert.deepEqual(bench.admit(), ['b began with 80'])
  const apart = new Bench({ cells: 160, slots: 2, unified: false })
  apart.submit('a', list(1, 30), { maxTokens: 10 })
  apart.turn()
  apart.submit('b', [...list(1, 30), 1])
  apart.read()
  assert.deepEqual(apart.admit(), ['b began with 30'])
  assert.equal(apart.table.cells.used, 60)
})

test('texts give way to requests, the one that a request begins with last', () => {
  const bench = new Bench({ cells: 100, keptBytes: 10_000 })
  bench.text(list(2, 30))
  bench.text(list(1, 40))
  bench.submit('a', [...list(1, 40), 1])
  assert.deepEqual(bench.admit(), ['a text gave way', 'a began with 40'])
  assert.equal(bench.table.cells.used, 40)
})

test('the text that a request begins with goes when there is no other way, and comes back from memory', () => {
  const bench = new Bench({ cells: 100, keptBytes: 10_000 })
  bench.text(list(1, 90))
  bench.submit('a', [...list(1, 40), 5, 5])
  assert.deepEqual(bench.run(), ['a text gave way', 'a began with 41', 'a ended'])
})

test('texts that share all their rows give way, too', () => {
  const bench = new Bench({ cells: 100 })
  const one = bench.text(list(1, 60))
  const two = bench.table.addInput({ holder: one, length: 60 })!
  bench.scheduler.prefixes.enter(two, 'a', () => bench.diary.push('the other text gave way'))
  bench.submit('b', 60)
  assert.deepEqual(bench.admit(), ['a text gave way', 'the other text gave way', 'b began'])
})

test('places that become free when a step ends are waited for, and nothing else goes for them', () => {
  const bench = new Bench({ devices: [0, 1], slots: 3, parallel: 3 })
  bench.text(list(1, 10))
  const first = bench.submit('a', 40)
  bench.submit('b', 40)
  bench.admit()
  bench.end(bench.begin(0)!)
  const above = bench.begin(1)!
  bench.scheduler.end(first, false)
  bench.submit('c', 40)
  assert.deepEqual(bench.admit(), [])
  bench.end(above)
  assert.deepEqual(bench.admit(), ['c began'])
})

test('the room for texts is what requests have not claimed', () => {
  const bench = new Bench({ cells: 500 })
  assert.equal(bench.scheduler.roomForTexts, 500)
  bench.submit('a', 40)
  bench.turn()
  assert.equal(bench.scheduler.roomForTexts, 500 - (41 + 4 + 32))
  bench.text(list(2, 30))
  assert.equal(bench.scheduler.roomForTexts, 500, 'the request has ended')
  const small = new Bench({ cells: 50 })
  small.submit('a', 40)
  small.turn()
  assert.equal(small.scheduler.roomForTexts, 0)
})

// --- when memory runs out -------------------------------------------------------------------------------------------

/** Two replies that grow beyond what was claimed for them. */
function grown(options: Options, rest: readonly [Partial<Request>, Partial<Request>] = [{}, {}]): Bench {
  const bench = new Bench({ cells: 300, ...options })
  bench.submit('a', 50, { maxTokens: 200, ...rest[0] })
  bench.submit('b', 50, { maxTokens: 200, arrival: 1, ...rest[1] })
  return bench
}

test('who came last gives way, comes back, and goes on where it was', () => {
  for (const devices of [[0], [0, 0], [0, 1]]) {
    const bench = grown({ devices })
    const [, , preempted, ...rest] = bench.run()
    assert.match(preempted!, /^b was preempted at 1\d\d$/)
    assert.deepEqual(rest, ['a ended', 'b began', 'b ended'])
    assert.equal(bench.scheduler.preemptions, 1)
  }
})

test('a batch job gives way before a request that came later, revocable work before both', () => {
  const batch = grown({}, [{ tier: tiers.batch }, {}])
  assert.match(batch.run()[2]!, /^a was preempted/)
  const ahead = new Bench({ cells: 300 })
  ahead.submit('ahead', 20, { revocable: true, maxTokens: 60 })
  for (let turns = 0; turns < 50; turns++) ahead.turn()
  ahead.submit('b', 28, { maxTokens: 260, tier: { ...tiers.batch, ttftMs: 0 } })
  assert.equal(ahead.run().join(), 'ahead began,b began,ahead was dropped,b ended')
})

test('the only request does not give way to itself', () => {
  const bench = new Bench({ cells: 50 })
  bench.submit('a', 40, { maxTokens: 100 })
  assert.deepEqual(bench.run(), ['a began'])
  assert.equal(bench.table.cells.free, 0)
})

test('texts give way before requests do', () => {
  const bench = new Bench({ cells: 340 })
  bench.text(list(3, 40))
  for (const name of ['a', 'b']) bench.submit(name, 50, { maxTokens: 110 })
  assert.deepEqual(bench.run().slice(0, 4), ['a began', 'b began', 'a text gave way', 'a ended'])
})

test('for background work no request gives way', () => {
  const bench = new Bench({ cells: 60 })
  bench.submit('a', 40, { maxTokens: 20 })
  bench.turn()
  const text = bench.table.addInput()!
  bench.table.revise(text, list(2, 50))
  bench.scheduler.prefixes.enter(text, 'a', () => {})
  const [request] = bench.scheduler.running
  request!.sequence!.pausedAt = 0
  while (bench.turn());
  assert.deepEqual(bench.read(), ['a began'])
})

test('short of cells a step has fewer rows, and what is certain goes first', () => {
  const bench = new Bench({ cells: 50 })
  const request = bench.submit('a', 40)
  bench.turn()
  bench.table.append(request.sequence!, list(3, 20))
  const step = bench.begin()!
  assert.deepEqual([step.rows[0]!.from, step.rows[0]!.to], [40, 50])
  bench.abort(step)
})

test('without cells later stages go on', () => {
  const bench = new Bench({ devices: [0, 0], cells: 50 })
  const request = bench.submit('a', 40, { maxTokens: 20 })
  bench.turn()
  bench.table.append(request.sequence!, list(3, 20))
  bench.turn()
  assert.deepEqual([request.sequence!.computed, bench.table.cells.free], [[50, 0], 0])
  assert.equal(bench.begin()!.stage, 1)
  assert.deepEqual(bench.read(), ['a began'])
})

test('guesses go before anybody loses a place', () => {
  const bench = new Bench({ cells: 42 })
  const request = bench.submit('a', 40)
  bench.scheduler.admit(0)
  const sequence = request.sequence!
  sequence.pausedAt = 30
  while (sequence.computed[0]! < 30) bench.turn()
  const look = bench.table.addLookahead(sequence, 30, list(3, 30))!
  assert.equal(bench.turn(), true)
  assert.equal(bench.table.cells.free, 0)
  assert.deepEqual(bench.read(), ['a began'])
  bench.begin()
  assert.deepEqual(bench.read(), ['a lost its guesses'])
  assert.equal(bench.table.has(look), false)
  assert.equal(bench.table.cells.free, 12)
})

test('what runs on another device is waited for before anybody loses anything', () => {
  const bench = new Bench({ devices: [0, 1], cells: 60 })
  const request = bench.submit('a', 40, { maxTokens: 20 })
  bench.turn()
  bench.turn()
  bench.table.append(request.sequence!, list(3, 30))
  while (bench.table.cells.free > 0) bench.end(bench.begin(0)!)
  const above = bench.begin(1)!
  assert.equal(bench.begin(0), undefined)
  assert.deepEqual(
    bench.read().filter((line) => line.includes('lost') || line.includes('preempted')),
    [],
  )
  bench.end(above)
})

// --- common beginnings ----------------------------------------------------------------------------------------------

test('a beginning that somebody computes just now is waited for, and taken over', () => {
  const bench = new Bench({ batch: 50, parallel: 8 })
  const common = list(1, 100)
  bench.submit('a', [...common, 1])
  assert.deepEqual(bench.admit(), ['a began'])
  bench.submit('b', [...common, 2])
  bench.submit('other', [...common, 2], { cacheNamespace: 'b' })
  bench.submit('private', [...common, 2], { shares: false })
  bench.submit('urgent', [...common, 2], { tier: tiers.npc })
  bench.submit('different', 50)
  assert.deepEqual(bench.admit().sort(), ['different began', 'other began', 'private began', 'urgent began'])
  const rest = bench.run()
  assert.ok(rest.some((line) => /^b began with (100|101)$/.test(line)))
})

test('a prompt that is scored takes no row over whose output is wanted, and leaves its own', () => {
  const bench = new Bench({ keptBytes: 10_000 })
  const prompt = list(1, 60)
  bench.submit('a', prompt)
  bench.submit('b', prompt, { scoresFrom: 0 })
  assert.deepEqual(bench.admit(), ['a began', 'b began'], 'there is nothing to wait for')
  bench.run()
  bench.submit('c', prompt, { scoresFrom: 40 })
  bench.submit('d', prompt)
  bench.submit('e', prompt, { scoresFrom: 0 })
  assert.deepEqual(bench.admit(), ['c began with 40', 'd began with 59', 'e began'])
  bench.run()
})

test('short beginnings, and those of work that may be dropped, are not waited for', () => {
  const bench = new Bench()
  bench.submit('a', [...list(1, 31), 1])
  bench.submit('b', [...list(1, 31), 2])
  assert.deepEqual(bench.admit(), ['a began', 'b began'])
  const ahead = new Bench()
  ahead.submit('a', [...list(1, 60), 1], { revocable: true })
  ahead.admit()
  ahead.submit('b', [...list(1, 60), 2])
  assert.deepEqual(ahead.admit(), ['b began'])
})

test('what is nearly computed is waited for only as long as much is missing', () => {
  const bench = new Bench({ batch: 50 })
  const common = list(1, 80)
  bench.submit('a', [...common, 1])
  bench.turn()
  bench.submit('b', [...common, 2])
  assert.deepEqual(bench.admit(), ['a began', 'b began with 50'])
})

test('a private request neither uses rows of others nor leaves its own', () => {
  for (const revocable of [false, true]) {
    const bench = new Bench({ keptBytes: 10_000, parallel: 1 })
    bench.submit('a', 40, { shares: false, revocable })
    bench.turn()
    if (revocable) bench.submit('chat', 5)
    bench.run()
    assert.equal(bench.scheduler.prefixes.find('a', list(97, 40)), undefined)
    bench.text(list(98, 40))
    bench.submit('b', 40, { shares: false })
    assert.ok(bench.admit().includes('b began'))
  }
})

test('nobody shares rows of a private request that runs', () => {
  const bench = new Bench()
  bench.submit('a', 40, { shares: false })
  bench.turn()
  bench.submit('b', list(97, 40))
  assert.deepEqual(bench.admit(), ['a began', 'b began'])
})

// --- ends -----------------------------------------------------------------------------------------------------------

test('what a request has computed is found by the next one, unless it failed', () => {
  const bench = new Bench({ keptBytes: 10_000 })
  bench.submit('a', 40)
  bench.run()
  bench.submit('b', list(97, 40))
  assert.deepEqual(bench.run(), ['b began with 39', 'b ended'])
  const failed = bench.submit('c', 40)
  bench.turn()
  bench.scheduler.end(failed, false)
  assert.equal(bench.scheduler.prefixes.find('a', list(99, 40)), undefined)
})

test('a request can be cancelled in every state, also twice, and everything is free', () => {
  const states: Record<string, (bench: Bench, request: Request) => (() => void) | undefined> = {
    waiting: () => undefined,
    admitted: (bench) => {
      bench.admit()
      return undefined
    },
    'in its prompt, running': (bench) => {
      bench.admit()
      const step = bench.begin()!
      return () => bench.end(step)
    },
    'in its prompt, running, then aborted': (bench) => {
      bench.admit()
      const step = bench.begin()!
      return () => bench.abort(step)
    },
    'in its reply': (bench) => {
      bench.turn()
      bench.turn()
      return undefined
    },
    'with guesses, a look and another continuation': (bench, { sequence }) => {
      bench.turn()
      bench.table.append(sequence!, [1, 2, 3])
      bench.table.addLookahead(sequence!, 10, [1, 2])
      bench.table.addAlternative(sequence!, [4, 5])
      const step = bench.begin()!
      return () => bench.end(step)
    },
  }
  for (const [name, reach] of Object.entries(states)) {
    const bench = new Bench()
    const request = bench.submit('a', 40, { maxTokens: 50 })
    if (name.startsWith('with')) bench.admit()
    const then = reach(bench, request)
    bench.scheduler.end(request, true)
    bench.scheduler.end(request, true)
    assert.equal(bench.table.cells.used, 0, name)
    then?.()
    assert.deepEqual([bench.table.sequences.size, bench.table.freeSlots, bench.table.cells.used], [0, 10, 0], name)
    assert.deepEqual([bench.scheduler.waiting.length, bench.scheduler.running.size], [0, 0], name)
    assert.equal(bench.turn(), false, name)
  }
})

test('a request can be cancelled while it waits to come back', () => {
  const bench = grown({})
  while (bench.scheduler.preemptions === 0) bench.turn()
  const [waiting] = bench.scheduler.waiting
  bench.scheduler.end(waiting!, true)
  assert.deepEqual(bench.run().slice(-1), ['a ended'])
})

// --- nobody starves -------------------------------------------------------------------------------------------------

test('under a stream of requests without end a batch job and a long prompt still come to an end', () => {
  const bench = new Bench({ parallel: 2, slots: 6, cells: 400, keptBytes: 5000 })
  const soon: Tier = { ...tiers.batch, ttftMs: 2000 }
  const job = bench.submit('job', 120, { tier: soon, maxTokens: 20 })
  const long = bench.submit('long', 200, { maxTokens: 20 })
  const stream = Array.from({ length: 3 }, () => bench.submit('s', 30, { maxTokens: 10 }))
  while (!job.done || !long.done) {
    assert.ok(bench.now < 30_000, 'they wait for ever')
    bench.turn()
    for (const [i, request] of stream.entries()) {
      // All begin alike, so that they also wait for each other.
      if (request.done) stream[i] = bench.submit('s', [...list(115, 30), i], { maxTokens: 10 })
    }
  }
})
