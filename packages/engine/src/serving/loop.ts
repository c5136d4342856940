import { IncipitError } from '../api/errors.ts'
import type { FinishReason } from '../api/events.ts'
import { type EngineStats, emptyStats } from '../api/stats.ts'
import type { Vocabulary } from '../api/vocabulary.ts'
import type { CostModel } from '../core/cost/cost-model.ts'
import type { SlotRows } from '../core/cost/microbatches.ts'
import { SpeculationGain } from '../core/cost/speculation-gain.ts'
import type { EndedStep, Executor } from '../core/executor.ts'
import { bytesOf, type CheckpointLimits, copySpeed } from '../core/kv/checkpoint.ts'
import { runsInMicrobatches, type SequenceMemory } from '../core/kv/sequence-memory.ts'
import { CallerFault } from '../core/sampling/token-chooser.ts'
import { BusyPeriod } from '../core/schedule/busy-period.ts'
import type { PrefixCache } from '../core/schedule/prefix-cache.ts'
import type { Limits } from '../core/schedule/schedule.ts'
import { Scheduler } from '../core/schedule/scheduler.ts'
import {
  inBackground,
  inPrompt,
  meanDepth,
  type Rows,
  rowsOf,
  type Sequence,
  type Step,
  slotRowsOf,
} from '../core/sequences/sequence.ts'
import { commonPrefix, SequenceTable } from '../core/sequences/sequence-table.ts'
import type { Acceptances } from '../proposers/acceptances.ts'
import type { ExitCalibration } from '../proposers/exit-calibration.ts'
import type { FirstWordBook } from '../proposers/first-words.ts'
import { ActiveRequest, type RequestHost, type RequestPlan } from './active-request.ts'
import type { InputPrefill } from './input-prefill.ts'
import { InputPrefills } from './input-prefills.ts'
import { Outbox } from './outbox.ts'
import { Speculation } from './speculation/speculation.ts'
import { type DecisionObserver, StepResults } from './step-results.ts'
import type { OnGuess } from './tail.ts'
import { describeStep, trace } from './trace.ts'

export interface LoopOptions {
  readonly executor: Executor
  /** Per stage the device it lives on. Stages of one device take turns. */
  readonly devices: readonly number[]
  readonly memory: SequenceMemory
  readonly slots: number
  /** KV cells of each stage. */
  readonly cells: number
  /** Most requests that run at once, and that wait for a place. */
  readonly parallel: number
  readonly maxWaiting: number
  /** Most memory for rows of requests that are over. */
  readonly savedBytes: number
  /** When checkpoints are taken. Default: `defaultCheckpoints`. */
  readonly checkpoints?: CheckpointLimits
  /** Most tokens of one sequence. */
  readonly contextLength: number
  readonly limits: Limits
  readonly costs: CostModel
  readonly vocabulary: Vocabulary
  readonly acceptances: Acceptances
  readonly exit: ExitCalibration | undefined
  readonly firstWords: FirstWordBook
  /** Milliseconds on any clock that only goes forward. */
  readonly now: () => number
  /** When guesses pay. Default: by `costs`. */
  readonly gain?: SpeculationGain
  readonly observer?: LoopObserver
}

/** Told what happens, for accounts, traces and tests. Changes nothing. */
export interface LoopObserver extends DecisionObserver {
  stepBegins?(step: Step): void
  stepEnded?(ended: EndedStep): void
  /** A request got a place, perhaps not for the first time. */
  began?(request: ActiveRequest): void
  /** A request is losing its place and waits again. */
  preempted?(request: ActiveRequest): void
  /** Tokens are guessed. */
  guessed?(request: ActiveRequest, ...guess: Parameters<OnGuess>): void
  /** A request is over; its sequence is still there, where it had one. */
  finished?(request: ActiveRequest, reason: FinishReason | 'failed' | 'dropped'): void
}

/** Something that runs: for how long, and how long it should take by the cost model, which knows steps only; milliseconds. */
export interface Overdue {
  readonly ms: number
  readonly expectedMs: number | undefined
}

/**
 * Serves requests: `step()` is the whole of it. Admit, speculate, schedule, run, read, emit. Every change of a sequence
 * goes through the `SequenceTable`, every decision who runs through the `Scheduler`, everything that computes through the
 * `Executor`; the engine, the simulator and the model tests drive this one loop.
 */
export class Loop {
  readonly table: SequenceTable
  readonly stats: EngineStats = emptyStats()
  readonly #options: LoopOptions
  readonly #executor: Executor
  readonly #busyPeriod = new BusyPeriod()
  readonly #scheduler: Scheduler<ActiveRequest>
  readonly #speculation: Speculation
  readonly #inputs: InputPrefills
  readonly #results: StepResults
  readonly #host: RequestHost
  readonly #outbox = new Outbox()
  /** Requests that are over, but still have their place. */
  readonly #leaving: ActiveRequest[] = []
  /** Requests whose reader threw, and what. */
  readonly #faults = new Map<ActiveRequest, unknown>()
  /** What needs the caches for itself, between two steps. */
  readonly #between: { readonly run: () => Promise<void>; readonly fail: (error: unknown) => void }[] = []
  /** Steps that run, one per device at most, and since when. */
  readonly #steps = new Map<Step, number>()
  /** Since when something that is no step runs. */
  #besideSteps: number | undefined

  constructor(options: LoopOptions) {
    const { executor, costs, memory } = options
    this.#options = options
    this.#executor = executor
    this.table = new SequenceTable({ ...options, caches: executor.caches })
    this.#scheduler = new Scheduler(this.table, {
      costs,
      limits: options.limits,
      parallel: options.parallel,
      keptBytes: options.savedBytes,
      ...(options.checkpoints && { worthCopying: options.checkpoints.worthCopying }),
      events: {
        began: (request) => this.#began(request),
        guessesDropped: (request) => this.#speculation.guessesDropped(request),
        preempted: (request) => {
          trace?.(`preempted at ${request.sequence?.committed} tokens, ${request.tier.name}: somebody needs its place`)
          options.observer?.preempted?.(request)
          this.#speculation.guessesDropped(request)
        },
        dropped: (request) => {
          trace?.('a reply to a text that is not final gives way')
          options.observer?.finished?.(request, 'dropped')
          this.#speculation.ended(request, false)
          const dropped = request.early?.onDropped
          if (dropped) this.#outbox.add(dropped)
        },
      },
    })
    const guarded = (request: ActiveRequest, act: () => void) => this.#guarded(request, act)
    this.#speculation = new Speculation({
      ...options,
      table: this.table,
      gain:
        options.gain ??
        new SpeculationGain(this.table.stages, costs, {
          separateCaches: runsInMicrobatches(memory),
          checkpointMs: () => this.table.draftBytes / copySpeed.over,
        }),
      stats: this.stats,
      delayed: () => this.#busyPeriod.delayed(this.#waitForFirst()),
      guarded,
    })
    this.#inputs = new InputPrefills(this.table, this.#scheduler.prefixes)
    this.#results = new StepResults(executor, this.table, {
      scheduler: this.#scheduler,
      speculation: this.#speculation,
      inputs: this.#inputs,
      stats: this.stats,
      outbox: this.#outbox,
      observer: options.observer,
      guarded,
      finish: (request, reason) => this.#finish(request, reason),
    })
    this.#host = {
      ...options,
      table: this.table,
      stats: this.stats,
      outbox: this.#outbox,
      onGuess: (request, ...guess) => options.observer?.guessed?.(request, ...guess),
      onSinkFault: (request, error) => {
        if (!this.#faults.has(request)) this.#faults.set(request, error)
      },
    }
    this.stats.cells = options.cells
    this.stats.firstWords = options.firstWords.counts
  }

  /** Running and waiting requests, without replies to texts that are not final. */
  get load(): Pick<EngineStats, 'running' | 'waiting' | 'cellsUsed' | 'keptBytes' | 'checkpointBytes' | 'preempted'> {
    const { running, waiting, prefixes, preemptions } = this.#scheduler
    return {
      running: [...running].filter((request) => !request.revocable).length,
      waiting: waiting.filter((request) => !request.revocable).length,
      cellsUsed: this.table.cells.used - this.table.cells.own(...prefixes.restingSlots),
      keptBytes: prefixes.bytes,
      checkpointBytes: bytesOf([...this.table.sequences, ...prefixes.kept].flatMap(({ checkpoints }) => checkpoints)),
      preempted: preemptions,
    }
  }

  /** Forgets what was counted so far. */
  resetStats(): void {
    Object.assign(this.stats, emptyStats(), { cells: this.#options.cells, firstWords: this.#options.firstWords.counts })
  }

  get scheduler(): Scheduler<ActiveRequest> {
    return this.#scheduler
  }

  get prefixes(): PrefixCache {
    return this.#scheduler.prefixes
  }

  get inputs(): InputPrefills {
    return this.#inputs
  }

  /** Whose rows a sequence holds: a request's, or those of a text that is being written. */
  ownerOf(sequence: Sequence): ActiveRequest | InputPrefill | undefined {
    return this.#scheduler.jobOf(sequence) ?? this.#inputs.of(sequence)
  }

  /** Whether requests that are over still have their place. */
  get hasLeaving(): boolean {
    return this.#leaving.length > 0
  }

  // --- what comes from outside --------------------------------------------------------------------------------------

  /**
   * Queues a request.
   * @throws IncipitError `overloaded` when too many wait already
   */
  submit(plan: RequestPlan): ActiveRequest {
    const { waiting } = this.#scheduler
    // Who was accepted by an engine that is gone is not refused by the next one.
    if (!plan.formerLife && waiting.length >= this.#options.maxWaiting) {
      throw new IncipitError('overloaded', `${waiting.length} requests wait already; try again later`)
    }
    const request = new ActiveRequest(plan, this.#host)
    if (!request.revocable) this.#busyPeriod.arrived(this.#waitForFirst())
    this.#scheduler.submit(request)
    if (request.endedBefore) this.#finish(request, request.endedBefore)
    else if (!request.revocable) this.#interruptBackground(request)
    return request
  }

  /**
   * The text a reply answers is final now, exactly as it was when the reply began: it goes on as an ordinary one.
   * @param moreTokens that the reply may have, because so many of it were typed meanwhile
   */
  makeFinal(request: ActiveRequest, moreTokens: number): void {
    request.becomeFinal()
    request.maxTokens += moreTokens
    if (request.phase === 'over') return
    if (request.phase === 'running') {
      if (request.plan.input) this.#inputs.evict(request.plan.input)
      this.table.promote(request.sequence!)
    }
    this.#interruptBackground(request)
  }

  /** A request computes nothing from now on, or again: whoever reads it is slow. Its rows stay while nobody wants the place. */
  hold(request: ActiveRequest, held: boolean): void {
    request.held = held
    if (request.phase !== 'running') return
    if (held) this.table.pauseAt(request.sequence!, 0)
    else this.table.resume(request.sequence!)
  }

  /** What runs longest beyond what it was expected to take. Undefined while nothing runs. */
  mostOverdue(): Overdue | undefined {
    const { costs, now } = this.#options
    if (this.#besideSteps !== undefined) return { ms: now() - this.#besideSteps, expectedMs: undefined }
    const running = [...this.#steps].map(([step, since]) => {
      const batches = this.table.microbatchesOf(step)
      const depth = meanDepth(step)
      const expectedMs = batches.reduce((sum, batch) => sum + costs.microbatch(step.stage, batch, depth), 0)
      return { ms: now() - since, expectedMs }
    })
    return running.sort((a, b) => b.ms - b.expectedMs - (a.ms - a.expectedMs))[0]
  }

  /** Computes a text ahead, from now on, whenever nothing else is to be done. Called again after every change. */
  follow(input: InputPrefill): void {
    this.#inputs.follow(input)
  }

  /** Lets a text's rows go. */
  forget(input: InputPrefill): void {
    this.#inputs.forget(input)
    this.#stopForNothing()
  }

  /** Does something that needs all caches for itself, as soon as no step runs. */
  between<T>(act: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#between.push({ run: () => act().then(resolve, reject), fail: reject })
    })
  }

  /** Ends a request at once, wherever it is. */
  cancel(request: ActiveRequest): void {
    if (request.phase === 'over') return
    this.#finish(request, 'cancelled')
    this.#stopForNothing()
    this.#outbox.deliver()
  }

  /** Ends everything that is going on, with an error for all who wait for it, and stops what runs. */
  fail(error: unknown): void {
    for (const request of [...this.#scheduler.waiting, ...this.#scheduler.running]) this.#fail(request, error)
    for (const { fail } of this.#between.splice(0)) fail(error)
    this.#inputs.clear()
    this.#scheduler.prefixes.clear()
    for (const { stage } of this.#steps.keys()) this.#executor.abort(stage)
    this.#outbox.deliver()
  }

  // --- a step -------------------------------------------------------------------------------------------------------

  /** Admit, speculate, schedule, run, read, emit. False when there is nothing to do. */
  async step(): Promise<boolean> {
    this.table.takeCheckpoints()
    // No device begins a step while something waits for all of them to be done.
    if (this.#between.length > 0 && this.#steps.size > 0) return await this.#awaitNextStep()
    // One at a time: while it runs everything may end, and nobody else gets the caches then.
    for (let next = this.#between.shift(); next; next = this.#between.shift()) await this.#timed(next.run())
    for (const request of this.#leaving.splice(0)) this.#scheduler.release(request, 'resting')
    this.#scheduler.admit(this.#options.now())
    this.#inputs.revise(Math.min(this.#scheduler.roomForTexts, this.#options.contextLength))
    this.#outbox.deliver()
    await this.#timed(this.#speculation.prepare(this.#scheduler.running, () => this.#planned()))
    let failed = this.#deliver()
    // A model that drafted took its time.
    const now = this.#options.now()
    for (const device of new Set(this.#options.devices)) {
      const step = this.#scheduler.next(device, now)
      if (step) this.#run(step)
    }
    failed = this.#deliver() || failed
    if (this.#steps.size > 0) return await this.#awaitNextStep()
    // The place of those who failed is for those who wait.
    return failed || this.#endStuck()
  }

  /** What is no step runs: a model that drafts, or a copy of rows. */
  async #timed(work: Promise<void>): Promise<void> {
    this.#besideSteps = this.#options.now()
    await work
    this.#besideSteps = undefined
  }

  #run(step: Step): void {
    this.#steps.set(step, this.#options.now())
    this.#options.observer?.stepBegins?.(step)
    for (const { sequence } of step.rows) this.#scheduler.jobOf(sequence)?.reply.started()
    this.#executor.run(step)
  }

  /** Waits for the step that ends first, and takes it in. */
  async #awaitNextStep(): Promise<true> {
    const ended = await this.#executor.ended()
    this.#steps.delete(ended.step)
    this.#takeIn(ended)
    this.#deliver()
    return true
  }

  /** What a step computed is taken in and read before anything else runs on its device, or it counts for nothing. */
  #takeIn(ended: EndedStep): void {
    const { step, result, ms, measured, failure } = ended
    trace?.(describeStep(step, result, ms))
    this.stats.steps++
    this.stats.decodeMs += ms
    if (result === 'done') {
      this.stats.rows += rowsOf(step)
      const { costs } = this.#options
      if (measured) costs.observeMicrobatches(step.stage, this.table.microbatchesOf(step), ms, meanDepth(step))
      this.#executor.storeHiddenStates(step)
      this.table.ran(step, this.#options.now())
      this.#results.read(step)
      this.#options.observer?.stepEnded?.(ended)
      return
    }
    this.table.aborted(step)
    this.#options.observer?.stepEnded?.(ended)
    if (result === 'aborted') return
    const error = failure ?? new IncipitError('decode_failed', 'the KV cache has no room for this step')
    for (const { sequence } of step.rows) {
      const request = this.#scheduler.jobOf(sequence)
      if (request) this.#fail(request, error)
      const input = this.#inputs.of(sequence)
      if (input) this.#inputs.evict(input)
    }
  }

  /** The next steps as they are now, on all devices. */
  #planned(): SlotRows[] {
    const now = this.#options.now()
    return [...new Set(this.#options.devices)].flatMap((device) => {
      const step = this.#scheduler.plan(device, now)
      return step ? slotRowsOf(step) : []
    })
  }

  /** Nothing runs although somebody wants to: the cache has no room, even for a request that is alone. */
  #endStuck(): boolean {
    const waits = ({ computed, committed, pausedAt }: Sequence) => computed[0]! < Math.min(committed, pausedAt)
    const stuck = [...this.#scheduler.running].find(({ sequence }) => waits(sequence!))
    if (stuck === undefined) return false
    this.#finish(stuck, 'context')
    this.#deliver()
    return true
  }

  #began(request: ActiveRequest): void {
    const sequence = request.sequence!
    // The rows a text holds live on in the reply that answers it.
    if (!request.revocable && request.plan.input) this.#inputs.evict(request.plan.input)
    request.reply.timings.promptN = request.prompt.length - request.cached
    const { length } = sequence.tokens
    trace?.(
      `begin seq${sequence.order}: ${request.tier.name}, ${length} tokens, ${sequence.computed[0]} of them reused`,
    )
    this.#options.observer?.began?.(request)
    request.promptAdvanced()
    this.#guarded(request, () => this.#speculation.began(request))
  }

  /** Requests that wait for their first token, with a place or without. */
  #waitForFirst(): number {
    const { running, waiting } = this.#scheduler
    const waits = ({ sequence, revocable }: ActiveRequest) => !revocable && (!sequence || inPrompt(sequence))
    return [...running, ...waiting].filter(waits).length
  }

  /** New work must not wait for a step that is only background work, unless that is the beginning of the new work. */
  #interruptBackground(request: ActiveRequest): void {
    const useful = ({ sequence, to }: Rows) =>
      (sequence === request.sequence || sequence === request.plan.input?.sequence) &&
      commonPrefix(sequence.tokens, request.prompt) >= to
    for (const { stage, rows } of this.#steps.keys()) {
      if (rows.every(({ sequence }) => inBackground(sequence)) && !rows.some(useful)) this.#executor.abort(stage)
    }
  }

  /** Stops every running step of which at least half the rows are for nothing now; the others simply run again. */
  #stopForNothing(): void {
    for (const step of this.#steps.keys()) {
      const gone = rowsOf({ ...step, rows: step.rows.filter((rows) => !this.#isWanted(rows.sequence)) })
      // What is stopped is computed again; where single rows cannot be dropped, with much before it.
      const enough = this.table.dropsRows ? 2 * gone >= rowsOf(step) : gone === rowsOf(step)
      if (gone > 0 && enough) this.#executor.abort(step.stage)
    }
  }

  #isWanted(sequence: Sequence): boolean {
    if (!this.table.has(sequence)) return false
    return this.#scheduler.jobOf(sequence) !== undefined || this.#inputs.of(sequence) !== undefined
  }

  // --- ends ---------------------------------------------------------------------------------------------------------

  #finish(request: ActiveRequest, reason: FinishReason): void {
    const { reply } = request
    trace?.(`end seq${request.sequence?.order}: ${reason} after ${reply.timings.predictedN} tokens`)
    this.#speculation.ended(request, reason !== 'cancelled')
    this.#scheduler.retire(request)
    this.#options.observer?.finished?.(request, reason)
    // What was computed may be of use again: to the next turn of the conversation, or to a prompt that begins alike.
    // Copying it takes milliseconds: those who wait for the reply's last words go first.
    if (reason === 'cancelled') this.#scheduler.release(request, 'kept')
    else this.#leaving.push(request)
    request.finish(reason)
    this.stats.promptTokens += request.prompt.length
    this.stats.cachedTokens += request.cached
    this.stats.retracted += reply.timings.retractedN
  }

  #fail(request: ActiveRequest, error: unknown): void {
    this.#speculation.ended(request, false)
    this.#scheduler.retire(request)
    this.#options.observer?.finished?.(request, 'failed')
    this.#scheduler.release(request, 'dropped')
    request.fail(error)
  }

  /** Does something for one request; what code of its caller throws meanwhile ends this request, and no other. */
  #guarded(request: ActiveRequest, act: () => void): void {
    try {
      act()
    } catch (error) {
      if (!(error instanceof CallerFault)) throw error
      if (!this.#faults.has(request)) this.#faults.set(request, error.cause)
    }
  }

  /**
   * The state is whole: callers are told what happened, and those whose code threw, then or before, fail.
   * @returns whether anybody did
   */
  #deliver(): boolean {
    let failed = false
    for (;;) {
      this.#outbox.deliver()
      const faulty = [...this.#faults].filter(([request]) => request.phase !== 'over')
      this.#faults.clear()
      if (faulty.length === 0) return failed
      failed = true
      for (const [request, error] of faulty) this.#fail(request, error)
    }
  }
}
