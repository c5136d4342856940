import assert from 'node:assert/strict'
import type { Vocabulary } from '../src/api/vocabulary.ts'
import type { DraftModel, EndedStep } from '../src/core/executor.ts'
import type { TokenChooser } from '../src/core/sampling/token-chooser.ts'
import { rowsOf, type Sequence, type Step } from '../src/core/sequences/sequence.ts'
import { commonPrefix } from '../src/core/sequences/sequence-table.ts'
import { Acceptances } from '../src/proposers/acceptances.ts'
import { fixedFirstWords } from '../src/proposers/first-words.ts'
import type { ActiveRequest } from '../src/serving/active-request.ts'
import type { LoopObserver } from '../src/serving/loop.ts'
import { LoopDriver } from '../src/serving/loop-driver.ts'
import { CheckedLoop } from './checked-loop.ts'
import { lettersOf } from './expected-reply.ts'
import { FaultyExecutor } from './faulty-executor.ts'
import { FixedCosts } from './fixed-costs.ts'
import type { RunState } from './run-state.ts'
import type { Schedule } from './schedule.ts'
import { ScheduleEvents } from './schedule-events.ts'
import { type Outcome, ScheduledRequest, type Surroundings } from './scheduled-request.ts'
import { honestExit, ScriptedDraftModel, ScriptedGain, scriptedOdds } from './scripted-guesses.ts'
import { endToken, SequentialModel, vocabulary } from './simulated-model.ts'
import { memoryOf, SimulatedStages } from './simulation.ts'
import { checkEnd, checkState } from './state-checks.ts'
import { checkStep } from './step-checks.ts'

/** Room for drafts and lookaheads in a slot that has a cache of its own. */
const slack = 40

// Checkpoints as prompts of a few dozen tokens want them.
const checkpoints = {
  bytes: 60,
  most: 4,
  promptSpacing: 8,
  inputSpacing: 5,
  worthSplitting: 12,
  lastRows: 2,
  messageStart: [2, 1],
  worthCopying: (bytes: number) => bytes / 4,
}

// Ticks that go by while a caller's code runs.
const reentryTicks = 4

const simulatedVocabulary: Vocabulary = {
  size: vocabulary + 1,
  bytesOf: (token) => new TextEncoder().encode(lettersOf([token])),
  isEndOfGeneration: (token) => token === endToken,
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

export class ScheduleRun implements LoopObserver, RunState {
  readonly schedule: Schedule
  readonly stages: number
  readonly contextLength: number
  readonly costs: FixedCosts
  readonly caches: SimulatedStages
  readonly model: SequentialModel
  readonly executor: FaultyExecutor
  readonly loop: CheckedLoop
  readonly events: ScheduleEvents
  readonly requests: readonly ScheduledRequest[]
  /** Milliseconds. */
  now = 0
  /** What the schedule has led to. */
  readonly seen = { cached: 0, wentOn: 0, resumed: 0, crowdedOut: 0, typedAhead: 0, lookaheads: 0, reentered: 0 }
  /** The step that the last one of the loop took in, if it was done. */
  lastDone: Step | undefined
  /** Texts that were typed, and were in a step that failed. */
  readonly lost = new Set<Sequence>()
  readonly #byChooser: ReadonlyMap<TokenChooser, ScheduledRequest>
  readonly #driver: LoopDriver
  /** The lookahead that was seen last. */
  #lookahead: Sequence | undefined
  /** Calls of callers' code. */
  #calls = 0
  #fault: { readonly error: unknown } | undefined

  constructor(schedule: Schedule) {
    const { devices, slots, unified, memory, arrivals, cost, limits, pays, spareCells } = schedule
    this.schedule = schedule
    this.stages = devices.length
    const most = Math.max(...arrivals.map(({ prompt, reply, early }) => prompt.length + reply + (early?.more ?? 0)))
    const longest = Math.max(...arrivals.map(({ prompt }) => prompt.length))
    this.contextLength = Math.max(longest + 1, most - schedule.shortContext)
    const cells = unified ? this.contextLength + spareCells : slots * (this.contextLength + slack)
    this.costs = new FixedCosts(cost)
    this.model = new SequentialModel(this.stages)
    this.caches = new SimulatedStages({ stages: this.stages, slots, cells, unified, memory })
    const exit = limits.exit ? honestExit : undefined
    this.requests = arrivals.map((arrival) => new ScheduledRequest(arrival, this.#surroundings(exit !== undefined)))
    this.#byChooser = new Map(this.requests.map((request) => [request.plan.chooser, request]))
    this.executor = this.#executor()
    this.loop = new CheckedLoop(
      {
        ...schedule,
        cells,
        exit,
        executor: this.executor,
        memory: memoryOf(memory, unified),
        checkpoints,
        contextLength: this.contextLength,
        costs: this.costs,
        vocabulary: simulatedVocabulary,
        acceptances: new Acceptances(),
        firstWords: fixedFirstWords(scriptedOdds(schedule.odds)),
        now: () => this.now,
        ...(pays && { gain: new ScriptedGain(this.stages, this.costs, pays) }),
        observer: this,
      },
      () => this.#check(),
    )
    const onFault = (error: unknown) =>
      this.#verify(() => {
        throw error
      })
    this.#driver = new LoopDriver(this.loop, onFault)
    const { loop, requests } = this
    this.events = new ScheduleEvents({
      schedule,
      requests,
      loop,
      onFault,
      driver: this.#driver,
      checkIdle: () => this.#checkIdle(),
      checkStopped: () => this.#checkStopped(),
      checkInterrupted: (request) => this.#checkInterrupted(request),
    })
  }

  #surroundings(exit: boolean): Surroundings {
    const { model, contextLength } = this
    return {
      model,
      contextLength,
      exit,
      called: () => this.#called(),
      verify: (check) => this.#verify(check),
      cancel: (request) => this.events.cancel(request),
    }
  }

  #executor(): FaultyExecutor {
    const { schedule, caches, model } = this
    const draftModel = schedule.drafts ? this.#draftModel() : undefined
    const host = {
      meanwhile: () => this.events.goOn(),
      took: (ms: number) => {
        this.now += ms
      },
      failing: (step: Step, cause: unknown) => this.#failing(step, cause),
      requestOf: (chooser: TokenChooser) => this.#byChooser.get(chooser)!,
    }
    return new FaultyExecutor(schedule, { caches, model, draftModel, host })
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
      () => this.events.goOn(),
    )
  }

  // --- serving ------------------------------------------------------------------------------------------------------

  async serve(): Promise<void> {
    while (!this.events.over) {
      this.events.goOn()
      await this.#settle()
      this.now++
    }
    this.events.end()
    await this.#settle()
    checkEnd(this)
  }

  /** Waits until nothing is left to be done. Then nobody waits but for a text to be final. */
  async #settle(): Promise<void> {
    const { pauses } = this.events
    for (;;) {
      await this.#driver.idle()
      if (this.#fault) throw this.#fault.error
      if (pauses.size === 0) break
      await Promise.all(pauses)
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

  began({ plan, cached, prompt }: ActiveRequest): void {
    if (cached > 0) this.seen.cached++
    // Whoever rests beside one that begins has its beginning.
    const [from] = this.loop.prefixes.restingSlots
    const resting = [...this.loop.table.sequences].find(({ slot }) => slot === from)
    if (cached > 0 && resting && commonPrefix(resting.tokens, prompt) >= cached) this.seen.wentOn++
    if (cached > 0 && plan.input) this.seen.typedAhead++
  }

  preempted({ plan, replyTokens, tier }: ActiveRequest): void {
    this.#byChooser.get(plan.chooser)!.displaced = true
    if (replyTokens > 0) this.seen.resumed++
    if (!tier.preemptible) this.seen.crowdedOut++
  }

  finished(active: ActiveRequest, outcome: Outcome): void {
    this.#verify(() => {
      const request = this.#byChooser.get(active.plan.chooser)!
      assert.equal(request.outcome, undefined, `a request that is over, ${request.outcome}, ends again: ${outcome}`)
      request.outcome = outcome
      if (active.sequence) request.hears(active.sequence)
    })
  }

  /** A step fails: all who have rows in it end, or lose their place. */
  #failing(step: Step, cause: unknown): void {
    for (const { sequence } of step.rows) {
      if (sequence.isInput) this.lost.add(sequence)
      const request = this.ownerOf(sequence)
      if (request?.active?.phase !== 'running') continue
      request.causes.add(cause)
      request.mustEnd = true
    }
  }

  #called(): void {
    if (!this.schedule.reentries.includes(this.#calls++)) return
    this.seen.reentered++
    for (let tick = 0; tick < reentryTicks; tick++) this.#verify(() => this.events.goOn())
  }

  // --- checks -------------------------------------------------------------------------------------------------------

  /** An error that the loop would take for one of its caller's is remembered until the step is over. */
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

  #checkIdle(): void {
    for (let stage = 0; stage < this.stages; stage++) {
      assert.ok(!this.caches.isRunning(stage), 'a step runs although somebody needs the caches')
    }
  }

  #checkStopped(): void {
    const { table } = this.loop
    for (const step of this.executor.wanted) {
      const gone = rowsOf({ ...step, rows: step.rows.filter(({ sequence }) => !table.has(sequence)) })
      const most = this.loop.table.dropsRows ? 2 * gone : gone
      assert.ok(most < rowsOf(step), 'a step goes on that is mostly for nothing')
    }
  }

  #checkInterrupted({ input }: ScheduledRequest): void {
    for (const { rows } of this.executor.wanted) {
      const others = rows.every(({ sequence }) => sequence.isInput && sequence !== input?.sequence)
      assert.ok(!others, 'a request waits for a step that nobody waits for')
    }
  }
}
