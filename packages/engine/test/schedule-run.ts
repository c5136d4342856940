import assert from 'node:assert/strict'
import { Core } from '../src/flow/core.ts'
import { type Limits, schedule } from '../src/flow/schedule.ts'
import { inPrompt, type Sequence, type Step, tailLength } from '../src/flow/sequence.ts'
import { decodeAlone, nextToken, SimulatedDevice, vocabulary } from './simulation.ts'

/** Guesses: `length` tokens, of which the first `right` are what the model will say. */
export interface Guesses {
  length: number
  right: number
}

/** One request of a random schedule. */
export interface Arrival {
  /** Step before which it arrives. */
  at: number
  prompt: number[]
  /** Tokens of the reply. */
  reply: number
  exits: boolean
  /** A look ahead: where in the prompt (0..1), what it goes on with, and how many tokens it decodes. */
  look?: { at: number; rest: number[]; burst: number }
  /** Steps after its arrival until it is cancelled, and whether that happens while a step runs. */
  cancel?: { after: number; during: boolean }
  /** What is guessed, in turn, whenever there is an opportunity. */
  guesses: Guesses[]
  /** The prompt while it is typed, one state per step until it arrives: its first tokens, then others. */
  typed?: { right: number; wrong: number }[]
  /** The typed text stays open beside the reply. */
  keep: boolean
  background: boolean
  /** At every n-th step, replace a part of the tail by other guesses; 0: never. */
  revise: number
}

export interface Schedule {
  stages: number
  slots: number
  limits: Limits
  arrivals: Arrival[]
  /** Per step, in turn: rows after which it is aborted; negative: it is not. */
  aborts: number[]
}

interface Request extends Arrival {
  /** Prompt and reply by sequential decoding. */
  readonly expected: readonly number[]
  sequence?: Sequence
  text?: Sequence | undefined
  fork?: Sequence
  forkTokens: number[]
  looked: boolean
  opportunity: number
  arrived?: number
  over: 'no' | 'finished' | 'cancelled'
  /** Number of committed tokens when it was looked at last, and when its tail was last revised. */
  committed: number
  revisedAt: number
}

/**
 * Serves all requests of a schedule on a simulated device, as the engine does on a real one, and checks after every
 * step what must hold at any time. Returns the number of steps.
 */
export function serve(plan: Schedule): number {
  return new Run(plan).serve()
}

class Run {
  readonly #plan: Schedule
  readonly #device: SimulatedDevice
  readonly #core: Core
  readonly #requests: Request[]
  #steps = 0

  constructor(plan: Schedule) {
    this.#plan = plan
    this.#device = new SimulatedDevice(plan.stages, plan.slots)
    this.#core = new Core({ stages: plan.stages, slots: plan.slots, caches: this.#device, limits: plan.limits })
    this.#requests = plan.arrivals.map((arrival) => ({
      ...arrival,
      expected: decodeAlone(arrival.prompt, arrival.reply, plan.stages),
      forkTokens: [],
      looked: false,
      opportunity: 0,
      over: 'no',
      committed: 0,
      revisedAt: -1,
    }))
  }

  serve(): number {
    const bound = this.#mostSteps()
    // The clock also ticks when nothing can run, so that late arrivals come.
    for (let clock = 0; this.#requests.some(({ over }) => over === 'no'); clock++) {
      assert.ok(this.#steps <= bound, `not finished after ${bound} steps`)
      assert.ok(clock <= bound + 100, 'somebody waits for ever')
      this.#type(clock)
      this.#arrive(clock)
      this.#cancel(clock, false)
      for (const request of this.#active()) this.#speculate(request)
      const planned = schedule(this.#core.sequences, this.#plan.limits)
      const step = this.#core.next()
      assert.deepEqual(shape(step), shape(planned), 'the same state gave two different steps')
      if (step === undefined) {
        assert.equal(this.#active().length, 0, 'requests are left and none of them can run')
        this.#cancel(clock, true)
        continue
      }
      this.#checkStep(step)
      this.#run(step, clock)
      this.#checkState()
    }
    for (const { text } of this.#requests) if (text) this.#core.remove(text)
    assert.equal(this.#core.sequences.size, 0)
    assert.equal(this.#core.freeSlots, this.#plan.slots, 'a slot is lost')
    for (let stage = 0; stage < this.#plan.stages; stage++) {
      for (let slot = 0; slot < this.#plan.slots; slot++) {
        assert.equal(this.#device.rows(stage, slot), 0, `rows are left in stage ${stage} slot ${slot}`)
      }
    }
    return this.#steps
  }

  /** Every row that can be wanted, each in a step of its own, rolled back and aborted as often as the plan says. */
  #mostSteps(): number {
    let rows = 0
    for (const { prompt, reply, look, guesses, revise, typed } of this.#plan.arrivals) {
      const tail = Math.max(4, ...guesses.map(({ length }) => length))
      rows += prompt.length + (reply + 1) * (tail + 1) * (revise > 0 ? 2 + tail : 1)
      for (const { wrong } of typed ?? []) rows += prompt.length + wrong
      if (look) rows += look.rest.length + look.burst + tail
    }
    return this.#plan.stages * rows * (this.#plan.aborts.length + 1)
  }

  #active(): Request[] {
    return this.#requests.filter(({ sequence, over }) => sequence !== undefined && over === 'no')
  }

  /** A text that is being written is computed ahead. */
  #type(clock: number): void {
    for (const request of this.#requests) {
      const state = request.typed?.[clock]
      if (state === undefined || request.sequence !== undefined || request.over !== 'no' || clock >= request.at)
        continue
      request.text ??= this.#core.open()
      if (request.text === undefined) continue
      const right = request.prompt.slice(0, state.right)
      this.#core.revise(request.text, [...right, ...new Array<number>(state.wrong).fill(clock % vocabulary)])
    }
  }

  #arrive(clock: number): void {
    for (const request of this.#requests) {
      if (request.sequence !== undefined || request.over !== 'no' || request.at > clock) continue
      const free = this.#core.freeSlots
      const { exits, background, text } = request
      const options = { exits, background }
      const sequence = text ? this.#core.branch(text, request.prompt, options) : this.#core.add(request.prompt, options)
      assert.equal(sequence !== undefined, free > 0)
      if (text && sequence && !request.keep) this.#forget(request)
      if (sequence === undefined) {
        // Requests go before texts that are still being written.
        for (const other of this.#requests) this.#forget(other)
        return
      }
      request.sequence = sequence
      request.arrived = clock
      if (request.look) sequence.limit = Math.floor(request.look.at * request.prompt.length)
      if (sequence.limit === 0) sequence.limit = Number.POSITIVE_INFINITY
    }
  }

  #cancel(clock: number, during: boolean): void {
    for (const request of this.#active()) {
      const { cancel } = request
      if (cancel === undefined || cancel.during !== during || request.arrived! + cancel.after > clock) continue
      this.#over(request, 'cancelled')
      // A second time, as an engine does that is told twice.
      this.#core.remove(request.sequence!)
      assert.equal(this.#core.has(request.sequence!), false)
    }
  }

  #over(request: Request, how: 'finished' | 'cancelled'): void {
    request.over = how
    this.#core.remove(request.sequence!)
    this.#forget(request)
  }

  #forget(request: Request): void {
    if (request.text) this.#core.remove(request.text)
    request.text = undefined
  }

  #speculate(request: Request): void {
    const sequence = request.sequence!
    const { look } = request
    if (look && !request.looked && Number.isFinite(sequence.limit) && sequence.computed.at(-1)! >= sequence.limit) {
      request.looked = true
      const fork = this.#core.fork(sequence, sequence.limit, look.rest)
      if (fork) request.fork = fork
      else sequence.limit = Number.POSITIVE_INFINITY
    }
    if (request.revise > 0 && this.#steps % request.revise === request.revise - 1 && tailLength(sequence) > 0) {
      // Once per committed token at most: whoever revises for ever waits for ever.
      if (request.revisedAt < sequence.committed) {
        request.revisedAt = sequence.committed
        const base = sequence.committed + ((request.opportunity + this.#steps) % tailLength(sequence))
        this.#core.replace(sequence, base, this.#guess(request, sequence.tokens.slice(0, base)))
      }
    }
    const ready = sequence.computed.at(-1)! === sequence.tokens.length - 1 && tailLength(sequence) === 0
    if (ready && !inPrompt(sequence)) this.#core.draft(sequence, this.#guess(request, sequence.tokens))
  }

  /** The next guesses after a prefix: right ones first, then tokens that differ from what the model would say. */
  #guess(request: Request, prefix: readonly number[]): number[] {
    const guesses = request.guesses[request.opportunity++ % Math.max(1, request.guesses.length)]
    if (guesses === undefined) return []
    const tokens: number[] = []
    for (let i = 0; i < guesses.length; i++) {
      const right = nextToken([...prefix, ...tokens], this.#plan.stages)
      tokens.push(i < guesses.right ? right : (right + 1) % vocabulary)
    }
    return tokens
  }

  #run(step: Step, clock: number): void {
    this.#steps++
    const abort = this.#plan.aborts[this.#steps % Math.max(1, this.#plan.aborts.length)] ?? -1
    this.#device.begin()
    const before = this.#core.freeSlots
    this.#cancel(clock, true)
    assert.equal(this.#core.freeSlots, before, 'a slot was freed under a running step')
    if (abort >= 0) {
      this.#device.end(step, abort)
      this.#core.aborted(step)
      return
    }
    this.#device.end(step)
    this.#core.ran(step)
    const last = step.stage === this.#plan.stages - 1
    for (const { sequence, from, to, output } of step.rows) {
      const request = this.#active().find((r) => r.sequence === sequence || r.fork === sequence)
      if (request === undefined) continue
      if (sequence.kind === 'fork') {
        if (last) this.#decideFork(request)
      } else if (last) {
        this.#decide(request, from, to)
      } else if (output < to) this.#exit(request, to)
    }
  }

  #decide(request: Request, from: number, to: number): void {
    const sequence = request.sequence!
    for (;;) {
      const row = sequence.committed - 1
      if (row < from || row >= sequence.computed.at(-1)!) break
      assert.ok(row < to)
      const token = this.#device.tokenAfter(sequence.slot, row)
      assert.notEqual(token, undefined, `row ${row} decides a token but has no output`)
      const guess = sequence.tokens[sequence.committed]
      const verdict = this.#core.decide(sequence, token!)
      assert.equal(verdict, guess === undefined ? 'extended' : guess === token ? 'confirmed' : 'replaced')
      if (sequence.committed - sequence.prompt < request.reply) continue
      assert.deepEqual(sequence.tokens.slice(0, sequence.committed), request.expected)
      this.#over(request, 'finished')
      return
    }
  }

  /** A look decides its own tokens; after its burst they become the parent's tail. */
  #decideFork(request: Request): void {
    const fork = request.fork!
    const row = fork.committed - 1
    if (row >= fork.computed.at(-1)!) return
    const token = this.#device.tokenAfter(fork.slot, row)
    assert.notEqual(token, undefined, 'the last row of a fork has no output')
    assert.equal(token, nextToken(fork.tokens, this.#plan.stages), 'the fork saw another prefix')
    this.#core.decide(fork, token!)
    request.forkTokens.push(token!)
    if (request.forkTokens.length < request.look!.burst) return
    const sequence = request.sequence!
    this.#core.remove(fork)
    this.#core.draft(sequence, request.forkTokens)
    sequence.limit = Number.POSITIVE_INFINITY
  }

  /** An exit head speaks after the last token: during the prompt, too. */
  #exit(request: Request, to: number): void {
    const sequence = request.sequence!
    assert.equal(to, sequence.tokens.length, 'an exit was asked in the middle')
    if (tailLength(sequence) < 4) this.#core.draft(sequence, this.#guess(request, sequence.tokens).slice(0, 1))
  }

  #checkStep({ stage, rows }: Step): void {
    const { batch, mixedPrompt } = this.#plan.limits
    let all = 0
    let bulk = 0
    const ahead = rows.filter(({ sequence: { background, parent } }) => background || parent?.background).length
    assert.ok(ahead === 0 || ahead === rows.length, 'background work beside other work')
    for (const { sequence, from, to, output } of rows) {
      assert.ok(from < to && output >= from && output <= to, 'rows or output out of order')
      assert.ok(to <= sequence.tokens.length)
      if (stage > 0) assert.ok(to <= sequence.computed[stage - 1]!, 'the stage before has not computed these rows')
      all += to - from
      if (sequence.open) assert.equal(output, to, 'a row of an open text has output')
      if (sequence.kind === 'reply' && from < sequence.prompt) bulk += to - from
    }
    assert.equal(new Set(rows.map(({ sequence }) => sequence)).size, rows.length)
    const most = ahead > 0 ? mixedPrompt : batch
    assert.ok(all > 0 && all <= most, `${all} rows in a step of at most ${most}`)
    if (ahead > 0) return
    if (rows.some(({ sequence }) => sequence.kind === 'fork')) assert.equal(bulk, 0, 'bulk rows beside a fork')
    else if (rows.some(({ sequence, from }) => from >= sequence.prompt)) assert.ok(bulk <= mixedPrompt)
  }

  #checkState(): void {
    const bySlot = new Map<number, Sequence>()
    for (const sequence of this.#core.sequences) {
      assert.ok(!bySlot.has(sequence.slot), 'two sequences in one slot')
      bySlot.set(sequence.slot, sequence)
      assert.ok(sequence.committed <= sequence.tokens.length)
      let most = sequence.tokens.length
      for (const computed of sequence.computed) {
        assert.ok(computed <= most, `computed rises along the stages: ${sequence.computed}`)
        most = computed
      }
    }
    assert.equal(this.#core.freeSlots + bySlot.size, this.#plan.slots)
    for (let stage = 0; stage < this.#plan.stages; stage++) {
      for (let slot = 0; slot < this.#plan.slots; slot++) {
        const believed = bySlot.get(slot)?.computed[stage] ?? 0
        assert.equal(this.#device.rows(stage, slot), believed, `stage ${stage} slot ${slot}`)
      }
    }
    for (const request of this.#active()) {
      const { committed, tokens } = request.sequence!
      assert.deepEqual(tokens.slice(0, committed), request.expected.slice(0, committed), 'committed text is wrong')
      assert.ok(committed >= request.committed, 'committed text became shorter')
      request.committed = committed
    }
  }
}

/** A step as plain values, for comparison. */
function shape(step: Step | undefined) {
  return (
    step && { stage: step.stage, rows: step.rows.map(({ sequence, ...rows }) => ({ slot: sequence.slot, ...rows })) }
  )
}
