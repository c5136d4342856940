import assert from 'node:assert/strict'
import { IncipitError } from '../src/api/errors.ts'
import type { Vocabulary } from '../src/api/vocabulary.ts'
import { CostModel } from '../src/core/cost/cost-model.ts'
import type { Microbatch } from '../src/core/cost/microbatches.ts'
import type { DraftModel, EndedStep } from '../src/core/executor.ts'
import { fullAttention } from '../src/core/kv/sequence-memory.ts'
import type { TokenChooser } from '../src/core/sampling/token-chooser.ts'
import type { Sequence, Step } from '../src/core/sequences/sequence.ts'
import { Acceptances } from '../src/proposers/acceptances.ts'
import type { ActiveRequest } from '../src/serving/active-request.ts'
import { Loop, type LoopObserver, type LoopOptions } from '../src/serving/loop.ts'
import { LoopDriver } from '../src/serving/loop-driver.ts'
import { lettersOf } from './expected-reply.ts'
import { FaultyExecutor } from './faulty-executor.ts'
import type { Pause, Schedule } from './schedule.ts'
import { type Outcome, ScheduledRequest, type Surroundings } from './scheduled-request.ts'
import { honestExit, ScriptedDraftModel, ScriptedGain, scriptedOdds } from './scripted-guesses.ts'
import { endToken, SequentialModel, vocabulary } from './simulated-model.ts'
import { SimulatedStages } from './simulation.ts'
import { checkEnd, checkState } from './state-checks.ts'
import { checkStep } from './step-checks.ts'

/** Room for drafts and lookaheads in a slot that has a cache of its own. */
const slack = 40
// A driver that goes on although nothing can be done never gives anybody else a turn.
const mostIdleSteps = 20

const simulatedVocabulary: Vocabulary = {
  size: vocabulary + 1,
  bytesOf: (token) => new TextEncoder().encode(lettersOf([token])),
  isEndOfGeneration: (token) => token === endToken,
}

/** Costs that no measurement changes. */
class FixedCosts extends CostModel {
  readonly #cost: Schedule['cost']

  constructor(cost: Schedule['cost']) {
    super()
    this.#cost = cost
  }

  override microbatch(_stage: number, { rows }: Microbatch): number {
    return this.#cost.fixed + this.#cost.row * rows
  }

  override within(_stage: number, ms: number): number {
    const { fixed, row } = this.#cost
    return Math.max(1, Math.min(Number.MAX_SAFE_INTEGER, Math.floor((ms - fixed) / row)))
  }

  override observeMicrobatches(): void {}
}

/** The engine's loop, looked at after every step. */
class CheckedLoop extends Loop {
  readonly #check: () => void
  #idle = 0

  constructor(options: LoopOptions, check: () => void) {
    super(options)
    this.#check = check
  }

  override async step(): Promise<boolean> {
    const more = await super.step()
    this.#check()
    this.#idle = more ? 0 : this.#idle + 1
    assert.ok(this.#idle < mostIdleSteps, 'the loop is run over and over, although nothing is to be done')
    return more
  }

  /** Something happened: there may be something to do again. */
  disturbed(): void {
    this.#idle = 0
  }
}

/**
 * Serves all requests of a schedule with the engine's loop on simulated stages, and checks after every step what must hold
 * at any time. Returns the run, for statistics.
 */
export async function serve(schedule: Schedule): Promise<ScheduleRun> {
  const run = new ScheduleRun(schedule)
  await run.serve()
  return run
}

export class ScheduleRun implements LoopObserver {
  readonly schedule: Schedule
  readonly stages: number
  readonly contextLength: number
  readonly cells: number
  readonly costs: FixedCosts
  readonly caches: SimulatedStages
  readonly model: SequentialModel
  readonly executor: FaultyExecutor
  readonly loop: CheckedLoop
  readonly requests: readonly ScheduledRequest[]
  /** Milliseconds. */
  now = 0
  /** What the schedule has led to. */
  readonly seen = { cached: 0, resumed: 0, lookaheads: 0, adopted: 0, reentered: 0 }
  /** The step that the last one of the loop took in, if it was done. */
  lastDone: Step | undefined
  readonly #byChooser: ReadonlyMap<TokenChooser, ScheduledRequest>
  readonly #driver: LoopDriver
  /** By tick, what happens then. */
  readonly #timeline = new Map<number, (() => void)[]>()
  readonly #pauses = new Set<Promise<void>>()
  /** The lookahead that was seen last. */
  #lookahead: Sequence | undefined
  #tick = 0
  #calls = 0
  #fault: { readonly error: unknown } | undefined

  constructor(schedule: Schedule) {
    const { devices, slots, unified, arrivals, cost, limits, pays, spareCells } = schedule
    this.schedule = schedule
    this.stages = devices.length
    const most = Math.max(...arrivals.map(({ prompt, reply, early }) => prompt.length + reply + (early?.more ?? 0)))
    const longest = Math.max(...arrivals.map(({ prompt }) => prompt.length))
    this.contextLength = Math.max(longest + 1, most - schedule.shortContext)
    this.cells = unified ? this.contextLength + spareCells : slots * (this.contextLength + slack)
    this.costs = new FixedCosts(cost)
    this.model = new SequentialModel(this.stages)
    this.caches = new SimulatedStages({ stages: this.stages, slots, cells: this.cells, unified })
    const exit = limits.exit ? honestExit : undefined
    const surroundings: Surroundings = {
      model: this.model,
      contextLength: this.contextLength,
      exit: exit !== undefined,
      called: () => this.#called(),
      verify: (check) => this.#verify(check),
    }
    this.requests = arrivals.map((arrival) => new ScheduledRequest(arrival, surroundings))
    this.#byChooser = new Map(this.requests.map((request) => [request.plan.chooser, request]))
    this.executor = new FaultyExecutor(schedule, {
      caches: this.caches,
      model: this.model,
      draftModel: schedule.drafts ? this.#draftModel() : undefined,
      host: {
        meanwhile: () => this.#goOn(),
        took: (ms) => {
          this.now += ms
        },
        failing: (step, cause) => this.#failing(step, cause),
        requestOf: (chooser) => this.#byChooser.get(chooser)!,
      },
    })
    const options: LoopOptions = {
      ...schedule,
      executor: this.executor,
      memory: fullAttention(unified),
      cells: this.cells,
      contextLength: this.contextLength,
      costs: this.costs,
      vocabulary: simulatedVocabulary,
      acceptances: new Acceptances(),
      exit,
      lookaheadOdds: scriptedOdds(schedule.odds),
      now: () => this.now,
      ...(pays && { gain: new ScriptedGain(this.stages, this.costs, pays) }),
      observer: this,
    }
    this.loop = new CheckedLoop(options, () => this.#check())
    this.#driver = new LoopDriver(this.loop, (error) => {
      this.#fault ??= { error }
    })
    this.#plan()
  }

  async serve(): Promise<void> {
    while (this.#timeline.size > 0) {
      this.#goOn()
      await this.#settle()
      this.now++
    }
    for (const request of this.requests) this.#cancel(request)
    for (const request of this.requests) this.#forget(request)
    await this.#settle()
    checkEnd(this)
  }

  /** Waits until nothing is left to be done. Then nobody waits but for a text to be final. */
  async #settle(): Promise<void> {
    for (;;) {
      await this.#driver.idle()
      if (this.#fault) throw this.#fault.error
      if (this.#pauses.size === 0) break
      await Promise.all(this.#pauses)
    }
    for (const { active } of this.requests) {
      if (active && active.phase !== 'over' && !active.revocable) assert.fail('a request is left and nothing runs')
    }
  }

  /** Who a sequence, or one on its behalf, belongs to. */
  ownerOf(sequence: Sequence): ScheduledRequest | undefined {
    const root = sequence.parent ?? sequence
    return this.requests.find(({ active }) => active?.sequence === root)
  }

  // --- what comes from outside --------------------------------------------------------------------------------------

  #plan(): void {
    for (const request of this.requests) {
      const { at, typed = [], keep, early, cancel, forget } = request.arrival
      for (const [tick, state] of typed.entries()) {
        if (tick < at || keep) this.#at(tick, () => this.#type(request, tick, state))
      }
      this.#at(at, () => this.#submit(request))
      if (early?.adopt !== undefined) this.#at(at + early.adopt, () => this.#adopt(request, early.more))
      if (cancel !== undefined) this.#at(at + cancel, () => this.#cancel(request))
      if (forget !== undefined) this.#at(forget, () => this.#forget(request))
    }
    for (const pause of this.schedule.pauses) this.#at(pause.at, () => this.#pause(pause))
    const { failAt } = this.schedule
    if (failAt !== undefined) this.#at(failAt, () => this.#failAll())
  }

  #at(tick: number, act: () => void): void {
    const acts = this.#timeline.get(tick)
    if (acts) acts.push(act)
    else this.#timeline.set(tick, [act])
  }

  /** Time goes on by a tick. */
  #goOn(): void {
    const acts = this.#timeline.get(this.#tick)
    this.#timeline.delete(this.#tick++)
    for (const act of acts ?? []) act()
  }

  /** What the engine does after everything that may give the loop something to do. */
  #wake(): void {
    this.loop.disturbed()
    this.#driver.wake()
  }

  #submit(request: ScheduledRequest): void {
    const { waiting } = this.loop.scheduler
    try {
      request.active = this.loop.submit(request.plan)
    } catch (error) {
      assert.ok(error instanceof IncipitError && error.code === 'overloaded', String(error))
      assert.ok(waiting.length >= this.schedule.maxWaiting)
      request.outcome = 'refused'
    }
    this.#wake()
  }

  #adopt({ active, outcome }: ScheduledRequest, more: number): void {
    if (!active || outcome === 'dropped' || outcome === 'failed') return
    if (active.phase !== 'over') this.seen.adopted++
    this.loop.makeFinal(active, more)
    this.#wake()
  }

  /** As an engine does that is told twice. */
  #cancel({ active }: ScheduledRequest): void {
    if (!active) return
    for (let i = 0; i < 2; i++) this.loop.cancel(active)
    this.#wake()
  }

  #type(request: ScheduledRequest, tick: number, { right, wrong }: { right: number; wrong: number }): void {
    if (request.forgotten || !request.input) return
    request.typed = [...request.plan.prompt.slice(0, right), ...new Array<number>(wrong).fill(tick % vocabulary)]
    this.loop.follow(request.input)
    this.#wake()
  }

  #forget(request: ScheduledRequest): void {
    request.forgotten = true
    if (request.input) this.loop.forget(request.input)
    this.#wake()
  }

  #pause(pause: Pause): void {
    const paused = this.loop.between(async () => {
      for (let stage = 0; stage < this.stages; stage++)
        assert.ok(!this.caches.isRunning(stage), 'a step runs meanwhile')
      await undefined
    })
    this.#wake()
    const over = this.#goOnAfter(paused, pause.microtasks)
    this.#pauses.add(over)
    over.then(() => this.#pauses.delete(over))
  }

  async #goOnAfter(paused: Promise<void>, microtasks: number): Promise<void> {
    try {
      await paused
      for (let i = 0; i < microtasks; i++) await undefined
      this.#goOn()
    } catch (error) {
      this.#fault ??= { error }
    }
  }

  #failAll(): void {
    const error = new Error('everything ends')
    this.#timeline.clear()
    for (const { causes } of this.requests) causes.add(error)
    this.loop.fail(error)
    this.#wake()
  }

  // --- what the loop tells ------------------------------------------------------------------------------------------

  stepBegins(step: Step): void {
    checkStep(this, step)
    for (const { sequence } of step.rows) {
      if (sequence.kind !== 'lookahead' || sequence === this.#lookahead) continue
      this.#lookahead = sequence
      this.seen.lookaheads++
    }
  }

  stepEnded({ step, result }: EndedStep): void {
    this.lastDone = result === 'done' ? step : undefined
  }

  began({ cached }: ActiveRequest): void {
    if (cached > 0) this.seen.cached++
  }

  preempted({ replyTokens }: ActiveRequest): void {
    if (replyTokens > 0) this.seen.resumed++
  }

  finished(active: ActiveRequest, outcome: Outcome): void {
    this.#verify(() => {
      const request = this.#byChooser.get(active.plan.chooser)!
      assert.equal(request.outcome, undefined, `a request that is over, ${request.outcome}, ends again: ${outcome}`)
      request.outcome = outcome
      request.maxTokens = active.maxTokens
      if (active.sequence) request.hears(active.sequence)
    })
  }

  /** A step fails: all who have rows in it end. */
  #failing(step: Step, cause: unknown): void {
    for (const { sequence } of step.rows) {
      const request = this.ownerOf(sequence)
      if (request?.active?.phase !== 'running') continue
      request.causes.add(cause)
      request.mustEnd = true
    }
  }

  #called(): void {
    if (!this.schedule.reentries.includes(this.#calls++)) return
    this.seen.reentered++
    this.#verify(() => this.#goOn())
  }

  /** An error that a loop would take for one of its caller's is remembered until the step is over. */
  #verify(check: () => void): void {
    try {
      check()
    } catch (error) {
      this.#fault ??= { error }
    }
  }

  #check(): void {
    if (this.#fault) throw this.#fault.error
    checkState(this)
    this.lastDone = undefined
  }

  #draftModel(): DraftModel {
    return new ScriptedDraftModel(
      ({ chooser, slot, tokens, prompt }) => {
        const request = this.#byChooser.get(chooser)!
        const { sequence } = request.active!
        assert.equal(slot, sequence!.slot)
        assert.equal(prompt, sequence!.prompt)
        assert.deepEqual(tokens, sequence!.tokens.slice(0, sequence!.committed))
        return (text) => request.guess(text)
      },
      () => this.#goOn(),
    )
  }
}
