import assert from 'node:assert/strict'
import type { Tier } from '../src/api/tiers.ts'
import type { Costs, Limits } from '../src/core/schedule/schedule.ts'
import { Scheduler } from '../src/core/schedule/scheduler.ts'
import { inPrompt, type Rows, rowsOf, type Sequence, type Step, tailLength } from '../src/core/sequences/sequence.ts'
import { SequenceTable } from '../src/core/sequences/sequence-table.ts'
import { type InputPrefill, inputPrefill } from '../src/serving/input-prefill.ts'
import { InputPrefills } from '../src/serving/input-prefills.ts'
import { checkState, checkStep } from './schedule-checks.ts'
import { decodeAlone, nextToken, SimulatedStages, vocabulary } from './simulation.ts'

/** Guesses: `length` tokens, of which the first `right` are what the model will say. */
export interface Guesses {
  length: number
  right: number
}

/** One request of a random schedule. */
export interface Arrival {
  /** Tick before which it arrives. */
  at: number
  prompt: number[]
  salt: string
  tier: Tier
  /** Tokens of the reply. */
  reply: number
  exits: boolean
  /** What is guessed, in turn, whenever there is an opportunity. */
  guesses: Guesses[]
  /** Other continuations that start beside the tail, at every opportunity. */
  branches: Guesses[]
  /** At every n-th step, replace a part of the tail by other guesses; 0: never. */
  revise: number
  /** Share of its exits, of 4, whose guess is final at once (lossy). */
  confident: number
  /** A look ahead: where in the prompt (0..1), what it goes on with, and how many tokens it decodes. */
  look?: { at: number; rest: number[]; burst: number }
  /** Ticks after its arrival until it is cancelled. */
  cancel: number | undefined
  /** The prompt while it is typed, one state per tick until it arrives: its first tokens, then others. */
  typed?: { right: number; wrong: number }[]
  /** The typed text stays beside the reply, and is edited further. */
  keep: boolean
  /** A reply to a text that is not final: `budget` tokens, until it is adopted so many ticks after its arrival, if ever. */
  ahead?: { budget: number; adopt?: number }
}

/** What becomes of a step: which of those that run ends next, and after how many rows it is aborted, if it is. */
export interface Fate {
  pick: number
  aborted: number | undefined
}

export interface Schedule {
  /** Per stage the device it lives on. */
  devices: readonly number[]
  slots: number
  parallel: number
  unified: boolean
  /** Cells beside what the largest request needs. */
  spareCells: number
  keptBytes: number
  limits: Limits
  /** Milliseconds of a step: `fixed`, and `row` for every row. */
  cost: { fixed: number; row: number }
  arrivals: Arrival[]
  /** In turn. */
  fates: Fate[]
  /** Steps, by number, that fail: the requests in them end. */
  fails: number[]
}

/** A request and what became of it. */
export interface Request {
  // What the scheduler knows.
  readonly prompt: readonly number[]
  readonly cacheNamespace: string
  readonly tier: Tier
  readonly wantsExit: boolean
  readonly shares: boolean
  arrival: number
  maxTokens: number
  revocable: boolean
  sequence: Sequence | undefined
  cached: number
  resume: readonly number[] | undefined
  // What the run knows.
  readonly plan: Arrival
  /** Prompt and reply by sequential decoding, and some tokens more. */
  readonly expected: readonly number[]
  over: 'no' | 'finished' | 'cancelled' | 'failed' | 'dropped'
  submitted: number | undefined
  text: InputPrefill | undefined
  typed: readonly number[]
  fork: Sequence | undefined
  forkTokens: number[]
  looked: boolean
  /** Committed tokens of the reply, as a client was told. */
  readonly said: number[]
  opportunity: number
  revisedAt: number
}

/** Room for drafts and looks in a slot that has a cache of its own. */
const slack = 40
/** A step that is aborted over and over never ends. */
const mostAborts = 30
/** Most guesses an exit adds to the tail. */
const exitBurst = 4

/**
 * Serves all requests of a schedule on simulated stages, as the engine does on real ones, and checks after every step
 * what must hold at any time. Returns the run, for statistics.
 */
export function serve(plan: Schedule): Run {
  const run = new Run(plan)
  run.serve()
  return run
}

export class Run {
  readonly plan: Schedule
  readonly stages: number
  readonly costs: Costs
  readonly device: SimulatedStages
  readonly core: SequenceTable
  readonly scheduler: Scheduler<Request>
  readonly texts: InputPrefills
  readonly requests: Request[]
  /** Milliseconds. */
  now = 0
  steps = 0
  /** What the schedules have led to. */
  readonly seen = { resumed: 0, guessesDropped: 0, branchesWon: 0, looks: 0, cached: 0, overlapped: 0, confident: 0 }
  readonly #running: Step[] = []
  readonly #context: number
  #tick = 0
  #aborts = 0

  constructor(plan: Schedule) {
    this.plan = plan
    this.stages = plan.devices.length
    const { fixed, row } = plan.cost
    this.costs = {
      rows: (_stage, rows) => fixed + row * rows,
      within: (_stage, ms) => Math.max(1, Math.min(Number.MAX_SAFE_INTEGER, Math.floor((ms - fixed) / row))),
    }
    this.#context = Math.max(...plan.arrivals.map(({ prompt, reply }) => prompt.length + reply))
    const { slots, unified } = plan
    const cells = unified ? this.#context + plan.spareCells : slots * (this.#context + slack)
    this.device = new SimulatedStages({ stages: this.stages, slots, cells, unified })
    this.core = new SequenceTable({ ...plan, cells, caches: this.device, costs: this.costs })
    this.scheduler = new Scheduler(this.core, {
      ...plan,
      costs: this.costs,
      events: {
        began: (request) => this.#began(request),
        guessesDropped: (request) => {
          this.seen.guessesDropped++
          this.#forget(request)
        },
        preempted: (request) => {
          if (request.said.length > 0) this.seen.resumed++
          this.#forget(request)
        },
        dropped: (request) => this.#over(request, 'dropped'),
      },
    })
    this.texts = new InputPrefills(this.core, this.scheduler.prefixes)
    this.requests = plan.arrivals.map((arrival) => this.#request(arrival))
  }

  #request(plan: Arrival): Request {
    return {
      prompt: plan.prompt,
      cacheNamespace: plan.salt,
      tier: plan.tier,
      wantsExit: plan.exits,
      shares: plan.salt !== '',
      arrival: 0,
      maxTokens: plan.reply,
      revocable: plan.ahead !== undefined,
      sequence: undefined,
      cached: 0,
      resume: undefined,
      plan,
      expected: decodeAlone(plan.prompt, plan.reply + 12, this.stages),
      over: 'no',
      submitted: undefined,
      text: undefined,
      typed: [],
      fork: undefined,
      forkTokens: [],
      looked: false,
      said: [],
      opportunity: 0,
      revisedAt: -1,
    }
  }

  serve(): void {
    const bound = this.#mostSteps()
    const last = Math.max(...this.requests.map(({ plan }) => plan.at + (plan.ahead?.adopt ?? 0)))
    for (;;) {
      this.#arrive()
      this.scheduler.admit(this.now)
      this.texts.revise(Math.min(this.scheduler.roomForTexts, this.#context))
      for (const request of this.scheduler.running) this.#speculate(request)
      for (const device of new Set(this.plan.devices)) {
        const step = this.scheduler.next(device, this.now)
        if (step === undefined) continue
        checkStep(this, step)
        this.device.begin(step)
        this.#running.push(step)
        if (this.#running.length > 1) this.seen.overlapped++
      }
      const busy = this.#running.length > 0
      if (busy) this.#end()
      checkState(this)
      assert.ok(this.steps <= bound, `not finished after ${bound} steps`)
      this.#tick++
      if (!busy) this.now++
      if (busy || this.#tick <= last) continue
      const open = this.requests.filter(({ over, revocable }) => over === 'no' && !revocable)
      if (open.length === 0) break
      assert.fail(`${open.length} requests are left and none of them can run`)
    }
    this.#finish()
  }

  /** What is left when all are served is what is kept for others, and nothing at all when that goes. */
  #finish(): void {
    for (const request of this.requests) if (request.over === 'no') this.#over(request, 'cancelled')
    this.texts.clear()
    checkState(this)
    const { prefixes } = this.scheduler
    assert.equal(this.core.sequences.size, 0)
    assert.equal(this.core.freeSlots, this.plan.slots, 'a slot is lost')
    assert.equal(this.core.cells.used, 0, 'a cell is lost')
    for (const { tokens, states, cacheNamespace: salt } of prefixes.kept) this.device.checkSaved(states, tokens, salt)
    prefixes.clear()
    assert.equal(prefixes.bytes, 0)
    for (const { expected, cacheNamespace: salt } of this.requests)
      assert.equal(prefixes.find(salt, expected), undefined)
  }

  /** Far more than every row that can be wanted in a step of its own, rolled back and computed again. */
  #mostSteps(): number {
    let rows = 0
    for (const { prompt, reply, look, guesses, revise, typed } of this.plan.arrivals) {
      const tail = Math.max(exitBurst, ...guesses.map(({ length }) => length))
      rows += prompt.length + (reply + 1) * (tail + 1) * (revise > 0 ? 2 + tail : 1)
      for (const { wrong } of typed ?? []) rows += prompt.length + wrong
      if (look) rows += look.rest.length + look.burst + tail
    }
    return this.stages * rows * 4 + mostAborts
  }

  // --- what comes from outside --------------------------------------------------------------------------------------

  #arrive(): void {
    for (const request of this.requests) {
      const { plan } = request
      if (request.over !== 'no') continue
      if (request.submitted === undefined || (plan.keep && request.text)) this.#type(request)
      if (request.submitted === undefined && plan.at <= this.#tick) {
        request.submitted = this.#tick
        request.arrival = this.now
        this.scheduler.submit(request)
      }
      if (request.submitted === undefined) continue
      const ticks = this.#tick - request.submitted
      if (request.revocable && plan.ahead!.adopt !== undefined && ticks >= plan.ahead!.adopt) this.#adopt(request)
      if (plan.cancel !== undefined && ticks >= plan.cancel) this.#over(request, 'cancelled')
    }
  }

  /** A text that is being written is computed ahead. */
  #type(request: Request): void {
    const state = request.plan.typed?.[this.#tick]
    if (state === undefined) return
    request.typed = [
      ...request.prompt.slice(0, state.right),
      ...new Array<number>(state.wrong).fill(this.#tick % vocabulary),
    ]
    request.text ??= inputPrefill(request.cacheNamespace, { wanted: () => request.typed })
    this.texts.follow(request.text)
  }

  /** The text a request answers is final now. */
  #adopt(request: Request): void {
    request.revocable = false
    if (!request.sequence) return
    this.#takeText(request)
    request.sequence.background = false
    request.sequence.pausedAt = Number.POSITIVE_INFINITY
  }

  #takeText(request: Request): void {
    if (request.text === undefined) return
    if (request.plan.keep) this.texts.evict(request.text)
    else this.texts.forget(request.text)
  }

  #began(request: Request): void {
    const sequence = request.sequence!
    if (sequence.computed[0]! > 0) this.seen.cached++
    if (!request.revocable) this.#takeText(request)
    const { look } = request.plan
    const at = look ? Math.floor(look.at * request.prompt.length) : 0
    if (!request.looked && at > sequence.computed[0]!) sequence.pausedAt = at
    else request.looked = true
  }

  /** Its guesses are gone. */
  #forget(request: Request): void {
    if (request.fork || !request.looked) request.sequence!.pausedAt = Number.POSITIVE_INFINITY
    request.fork = undefined
    request.looked = true
  }

  #over(request: Request, how: Request['over']): void {
    request.over = how
    // A second time, as an engine does that is told twice.
    for (let i = 0; i < 2; i++) this.scheduler.end(request, how !== 'failed')
    assert.ok(!request.sequence || !this.core.has(request.sequence))
    if (request.text) this.texts.forget(request.text)
  }

  // --- guesses ------------------------------------------------------------------------------------------------------

  #speculate(request: Request): void {
    const sequence = request.sequence!
    const { look, revise } = request.plan
    if (look && !request.looked && sequence.computed.at(-1)! >= sequence.pausedAt) {
      request.looked = true
      request.fork = this.core.addLookahead(sequence, sequence.pausedAt, look.rest)
      request.forkTokens = []
      sequence.pausedAt = Number.POSITIVE_INFINITY
      if (request.fork) this.seen.looks++
    }
    // Once per committed token at most: whoever revises for ever waits for ever.
    const tail = tailLength(sequence)
    if (revise > 0 && this.steps % revise === revise - 1 && tail > 0 && request.revisedAt < sequence.committed) {
      request.revisedAt = sequence.committed
      const base = sequence.committed + ((request.opportunity + this.steps) % tail)
      const guesses = this.#guesses(request, request.plan.guesses, sequence.tokens.slice(0, base))
      this.core.replace(sequence, base, guesses)
    }
    const ready = sequence.computed.at(-1)! === sequence.tokens.length - 1 && tail === 0 && !inPrompt(sequence)
    if (ready) {
      this.core.append(sequence, this.#guesses(request, request.plan.guesses, sequence.tokens))
      this.#branch(request)
    }
  }

  /** Other continuations of the committed text. */
  #branch(request: Request): void {
    const sequence = request.sequence!
    if (this.core.alternatives(sequence).length > 0) return
    for (const _ of request.plan.branches) {
      const committed = sequence.tokens.slice(0, sequence.committed)
      const tokens = this.#guesses(request, request.plan.branches, committed)
      if (tokens.length > 0) this.core.addAlternative(sequence, tokens)
    }
  }

  /** The next guesses after a prefix: right ones first, then tokens that differ from what the model would say. */
  #guesses(request: Request, choices: readonly Guesses[], prefix: readonly number[]): number[] {
    const guesses = choices[request.opportunity++ % Math.max(1, choices.length)]
    const tokens: number[] = []
    for (let i = 0; i < Math.min(guesses?.length ?? 0, this.#room(request)); i++) {
      const right = this.after(request, [...prefix, ...tokens])
      tokens.push(i < guesses!.right ? right : (right + 1 + i) % vocabulary)
    }
    return tokens
  }

  /** How many tokens are of use: the reply ends, and so does the slot. */
  #room({ plan, sequence }: Request): number {
    return plan.reply - (sequence!.committed - sequence!.prompt)
  }

  /** The model's own next token. */
  after({ expected }: Request, prefix: readonly number[]): number {
    const known = prefix.length < expected.length && prefix.every((token, i) => token === expected[i])
    return known ? expected[prefix.length]! : nextToken(prefix, this.stages)
  }

  // --- steps --------------------------------------------------------------------------------------------------------

  /** One of the steps that run ends. */
  #end(): void {
    const { pick, aborted } = this.plan.fates[this.steps % this.plan.fates.length]!
    const failed = this.plan.fails.includes(this.steps++)
    const [step] = this.#running.splice(pick % this.#running.length, 1) as [Step]
    this.now += this.costs.rows(step.stage, rowsOf(step))
    if (!failed && (aborted === undefined || this.#aborts++ >= mostAborts)) {
      this.device.end(step)
      this.device.settle(step)
      this.core.ran(step, this.now)
      this.#accept(step)
      return
    }
    this.device.end(step, aborted ?? 0)
    this.core.aborted(step)
    if (!failed) return
    for (const { sequence } of step.rows) {
      const request = this.requestOf(sequence)
      if (request) this.#over(request, 'failed')
      const text = this.texts.of(sequence)
      if (text) this.texts.evict(text)
    }
  }

  requestOf(sequence: Sequence): Request | undefined {
    const root = sequence.parent ?? sequence
    return [...this.scheduler.running].find((request) => request.sequence === root)
  }

  #accept(step: Step): void {
    const last = step.stage === this.stages - 1
    for (const rows of step.rows) {
      const request = this.requestOf(rows.sequence)
      if (request === undefined || rows.valid === rows.from) continue
      if (rows.sequence.kind === 'lookahead') {
        if (last && rows.output < rows.valid && this.core.has(rows.sequence)) this.#decideFork(request)
      } else if (last) this.#decide(request, rows)
      else if (rows.output < rows.valid && rows.valid === rows.to) this.#exit(request, rows)
    }
  }

  #decide(request: Request, rows: Rows): void {
    const sequence = request.sequence!
    while (sequence.slot === rows.slot) {
      const row = sequence.committed - 1
      if (row < rows.from || row >= Math.min(rows.valid, sequence.computed.at(-1)!)) return
      const token = this.device.tokenAfter(rows.slot, row)
      assert.notEqual(token, undefined, `row ${row} decides a token but has no output`)
      assert.equal(token, this.after(request, sequence.tokens.slice(0, sequence.committed)), 'a row saw another prefix')
      const guess = sequence.tokens[sequence.committed]
      const branch = guess !== token && this.#branchWith(sequence, token!)
      const verdict = this.core.decide(sequence, token!)
      if (branch) this.seen.branchesWon++
      assert.equal(
        verdict,
        branch ? 'alternative' : guess === token ? 'confirmed' : guess === undefined ? 'extended' : 'replaced',
      )
      if (this.#committed(request, token!)) return
    }
  }

  #branchWith(sequence: Sequence, token: number): boolean {
    return this.core.alternatives(sequence).some(({ tokens, forkPoint: at }) => tokens[at] === token)
  }

  /** A token was said. True when the reply ends with it. */
  #committed(request: Request, token: number): boolean {
    const { plan, said } = request
    const sequence = request.sequence!
    said.push(token)
    // A look that still runs comes too late.
    if (request.fork) this.core.remove(request.fork)
    request.fork = undefined
    if (said.length >= plan.reply) {
      if (plan.confident === 0) assert.deepEqual(said, request.expected.slice(plan.prompt.length, -12))
      this.#over(request, 'finished')
      return true
    }
    if (request.revocable && said.length >= plan.ahead!.budget) sequence.pausedAt = 0
    return false
  }

  /** A look decides its own tokens: they stand at the prompt's end. */
  #decideFork(request: Request): void {
    const fork = request.fork!
    const token = this.device.tokenAfter(fork.slot, fork.committed - 1)
    assert.notEqual(token, undefined, 'the last row of a fork has no output')
    assert.equal(token, nextToken(fork.tokens, this.stages), 'the fork saw another prefix')
    this.core.decide(fork, token!)
    const sequence = request.sequence!
    if (request.forkTokens.length === 0) this.core.replace(sequence, sequence.prompt, [token!])
    else this.core.append(sequence, [token!])
    request.forkTokens.push(token!)
    const { burst } = request.plan.look!
    if (request.forkTokens.length < Math.min(burst, request.plan.reply)) return
    this.core.remove(fork)
    request.fork = undefined
  }

  /** An exit head speaks after the last token: during the prompt, too. */
  #exit(request: Request, { sequence, to }: Rows): void {
    if (to !== sequence.tokens.length) return
    const [guess] = this.#guesses(request, request.plan.guesses, sequence.tokens)
    if (guess === undefined || tailLength(sequence) >= Math.min(exitBurst, this.#room(request))) return
    this.core.append(sequence, [guess])
    if (tailLength(sequence) === 1) {
      if (this.steps % 4 < request.plan.confident) {
        this.seen.confident++
        this.core.commit(sequence, guess)
        this.#committed(request, guess)
      } else this.#branch(request)
    }
  }
}
