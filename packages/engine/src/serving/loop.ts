import { setImmediate } from 'node:timers/promises'
import { IncipitError } from '../api/errors.ts'
import type { FinishReason } from '../api/request.ts'
import { type EngineStats, emptyStats } from '../api/stats.ts'
import { CostModel } from '../core/cost/cost-model.ts'
import type { SlotRows } from '../core/cost/microbatches.ts'
import { BusyPeriod } from '../core/schedule/busy-period.ts'
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
import type { DecodeResult } from '../llama/context.ts'
import { batchRows, type EngineParts, tileRows } from '../runtime/load/load.ts'
import { keptState, PinnedPrefixes, type RowsState } from '../runtime/pinned-prefixes.ts'
import { warmUp } from '../runtime/warm-up.ts'
import type { Flight } from './active-request.ts'
import type { InputPrefill } from './input-prefill.ts'
import { InputPrefills } from './input-prefills.ts'
import { Speculation } from './speculation/speculation.ts'
import { StepResults } from './step-results.ts'
import { describeStep, trace } from './trace.ts'

// Longest step of prompt rows: what a new arrival waits for at worst.
const stepMs = 250
// Rows of a step of background work: it can be aborted, but not everywhere at once.
const backgroundRows = 128

// In a unified cache rows of several sequences share attention tiles from 64 rows on, and none of them can be skipped.
const mixedRows = tileRows - 1

/** How a step ended: with a result, or a failure. */
interface Outcome {
  readonly step: Step
  readonly result?: DecodeResult
  readonly ms?: number
  readonly failure?: unknown
}

/**
 * The engine's loop over all requests in flight. `step()` is the whole of it: admit, speculate, schedule, run, read,
 * emit. Every change of a sequence goes through `flow/core.ts`, every decision who runs through `flow/scheduler.ts`.
 */
export class Loop {
  readonly core: SequenceTable
  readonly stats: EngineStats = emptyStats()
  readonly #loaded: EngineParts
  readonly costs = new CostModel()
  readonly #crowd = new BusyPeriod()
  readonly #scheduler: Scheduler<Flight>
  readonly #speculation: Speculation
  readonly #texts: InputPrefills
  readonly #reading: StepResults
  readonly #pinned: PinnedPrefixes
  /** Requests that are over, but still have their place. */
  readonly #ended: Flight[] = []
  /** What needs the caches for itself, between two steps. */
  readonly #between: (() => Promise<void>)[] = []
  /** Steps that run, one per device at most, with what will have become of them. */
  readonly #steps = new Map<Step, Promise<Outcome>>()
  #pump: Promise<void> | undefined

  constructor(loaded: EngineParts) {
    this.#loaded = loaded
    const { stages, devices } = loaded
    this.core = new SequenceTable({
      devices: stages.map(({ device }) => devices.indexOf(device)),
      slots: loaded.slots,
      cells: loaded.cells,
      unified: loaded.unified,
      caches: {
        remove: (stage, slot, from) => stages[stage]!.remove(slot, from),
        share: (stage, source, to, from, end) => stages[stage]!.share(source, to, from, end),
        save: (stage, slot) => keptState(stages[stage]!.context.sequenceState(slot)),
        restore: (stage, slot, state) => stages[stage]!.context.setSequenceState(slot, (state as RowsState).rows),
      },
      limits: {
        batch: batchRows,
        stepMs,
        tile: tileRows,
        ...(loaded.unified ? { mixed: mixedRows } : { separateCaches: true }),
        background: backgroundRows,
        ...(loaded.exit ? { exitStage: 0 } : {}),
      },
      costs: this.costs,
    })
    this.#scheduler = new Scheduler(this.core, {
      costs: this.costs,
      parallel: loaded.parallel,
      keptBytes: loaded.keptBytes,
      events: {
        began: (flight) => this.#began(flight),
        guessesDropped: (flight) => this.#speculation.forget(flight),
        preempted: (flight) => {
          trace?.(`preempted at ${flight.resume?.length} tokens, ${flight.tier.name}: somebody needs its place`)
          this.#speculation.forget(flight)
        },
        dropped: (flight) => {
          trace?.('a reply to a text that is not final gives way')
          flight.ahead?.dropped()
        },
      },
    })
    const delayed = () => this.#crowd.delayed(this.#waitForFirst())
    this.#speculation = new Speculation(loaded, this.core, this.costs, this.stats, delayed)
    this.#texts = new InputPrefills(this.core, this.#scheduler.prefixes)
    this.#pinned = new PinnedPrefixes(loaded, this.core, this.#scheduler.prefixes)
    this.#reading = new StepResults(loaded, this.core, {
      flights: this.#scheduler,
      speculation: this.#speculation,
      texts: this.#texts,
      stats: this.stats,
      finish: (flight, reason) => this.#finish(flight, reason),
    })
    this.stats.cells = loaded.cells
  }

  /** Running and waiting requests, without replies to texts that are not final. */
  get load(): Pick<EngineStats, 'running' | 'waiting' | 'cellsUsed' | 'keptBytes' | 'preempted'> {
    const { running, waiting, prefixes, preemptions } = this.#scheduler
    return {
      running: [...running].filter((flight) => !flight.revocable).length,
      waiting: waiting.filter((flight) => !flight.revocable).length,
      cellsUsed: this.core.cells.used,
      keptBytes: prefixes.bytes,
      preempted: preemptions,
    }
  }

  /** Queues a request. */
  submit(flight: Flight): void {
    if (!flight.revocable) this.#crowd.arrived(this.#waitForFirst())
    this.#scheduler.submit(flight)
    if (!flight.revocable) this.#interruptBackground(flight)
    this.#start()
  }

  /** A reply to a text that is final now, exactly as it was when the reply began: it goes on as an ordinary one. */
  adopt(flight: Flight): void {
    flight.ahead = undefined
    flight.revocable = false
    flight.reply.restart()
    this.#interruptBackground(flight)
    if (flight.sequence) {
      if (flight.input) this.#texts.evict(flight.input)
      flight.sequence.background = false
      flight.sequence.pausedAt = Number.POSITIVE_INFINITY
    }
    this.#start()
  }

  /** Computes a text ahead, from now on, whenever nothing else is to be done. Called again after every change. */
  follow(text: InputPrefill): void {
    this.#texts.follow(text)
    this.#start()
  }

  /** Lets a text's rows go. */
  forget(text: InputPrefill): void {
    this.#texts.forget(text)
  }

  /**
   * Keeps the rows of these tokens, which were just computed, for good.
   * @throws IncipitError `prefix_invalid` when they cannot be kept or written
   */
  pin(name: string, tokens: readonly number[], salt: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#between.push(() =>
        this.#pinned.pin(name, salt, tokens).then((done) => {
          if (done) resolve()
          else reject(new IncipitError('prefix_invalid', `no room to keep the ${tokens.length} tokens of '${name}'`))
        }, reject),
      )
      this.#start()
    })
  }

  /** Resolves when nothing is left to be done. */
  async idle(): Promise<void> {
    while (this.#pump !== undefined) await this.#pump
  }

  /** Ends all requests with an error. */
  failAll(error: unknown): void {
    for (const flight of [...this.#scheduler.waiting, ...this.#scheduler.running]) this.#fail(flight, error)
    this.#texts.clear()
    this.#scheduler.prefixes.clear()
    for (const device of this.#loaded.devices) device.abort()
  }

  // --- the loop ---------------------------------------------------------------------------------------------------

  #start(): void {
    this.#pump ??= this.#run()
      .catch((error: unknown) => this.failAll(error))
      .finally(() => {
        this.#pump = undefined
        if (this.#scheduler.waiting.length + this.#between.length + this.#ended.length > 0) this.#start()
      })
  }

  async #run(): Promise<void> {
    // Requests that arrive in the same turn of the event loop start together.
    await Promise.resolve()
    let decodeEnd = performance.now()
    for (;;) {
      const before = this.stats.decodeMs
      if (!(await this.step())) return
      const now = performance.now()
      this.stats.overheadMs += Math.max(0, now - decodeEnd - (this.stats.decodeMs - before))
      decodeEnd = now
    }
  }

  /** Admit, speculate, schedule, run, read, emit. False when there is nothing to do. */
  async step(): Promise<boolean> {
    const now = performance.now()
    // No device begins a step while something waits for all of them to be done.
    if (this.#between.length > 0 && this.#steps.size > 0) return await this.#settleFirst()
    for (const act of this.#between.splice(0)) await act()
    // What a reply leaves is copied, which takes milliseconds: those who wait for its last words go first.
    if (this.#ended.length > 0) await setImmediate()
    for (const flight of this.#ended.splice(0)) this.#scheduler.release(flight, true)
    this.#scheduler.admit(now)
    this.#texts.revise(Math.min(this.#scheduler.roomForTexts, this.#loaded.info.contextLength))
    await this.#speculation.prepare(this.#scheduler.running, () => this.#planned(now))
    for (let device = 0; device < this.#loaded.devices.length; device++) {
      const step = this.#scheduler.next(device, now)
      if (step) this.#steps.set(step, this.#decode(step))
    }
    return this.#steps.size === 0 ? this.#endStuck() : await this.#settleFirst()
  }

  /** Waits for the step that ends first. */
  async #settleFirst(): Promise<true> {
    const outcome = await Promise.race(this.#steps.values())
    this.#steps.delete(outcome.step)
    this.#settle(outcome)
    return true
  }

  /** Requests that wait for their first token, with a place or without. */
  #waitForFirst(): number {
    const { running, waiting } = this.#scheduler
    const waits = ({ sequence, revocable }: Flight) => !revocable && (!sequence || inPrompt(sequence))
    return [...running, ...waiting].filter(waits).length
  }

  /** The next steps as they are now, on all devices. */
  #planned(now: number): SlotRows[] {
    return this.#loaded.devices.flatMap((_, device) => {
      const step = this.core.plan(device, now)
      return step ? slotRowsOf(step) : []
    })
  }

  /** Nothing runs although somebody wants to: the cache has no room, even for a request that is alone. */
  #endStuck(): boolean {
    const stuck = [...this.#scheduler.running].find(({ sequence }) => sequence!.computed[0]! < sequence!.committed)
    if (stuck === undefined || Number.isFinite(stuck.sequence!.pausedAt)) return false
    this.#finish(stuck, 'context')
    return true
  }

  /** Runs the step on its device. */
  async #decode(step: Step): Promise<Outcome> {
    for (const { sequence } of step.rows) this.#scheduler.jobOf(sequence)?.reply.started()
    const stage = this.#loaded.stages[step.stage]!
    try {
      return { step, ...(await stage.device.run(step, stage, this.#loaded.stages[step.stage - 1])) }
    } catch (failure) {
      return { step, failure }
    }
  }

  /** A step ended: what it computed is taken in and read before anything else runs on its device, or it counts for nothing. */
  #settle({ step, result, ms = 0, failure }: Outcome): void {
    if (result) trace?.(describeStep(step, result, ms))
    this.stats.steps++
    this.stats.decodeMs += ms
    if (result === 'done') {
      this.stats.rows += rowsOf(step)
      this.costs.observeMicrobatches(step.stage, this.core.microbatchesOf(step), ms, meanDepth(step))
      this.#loaded.stages[step.stage]!.storeHiddenStates(step, this.#loaded.stages[step.stage - 1])
      this.core.ran(step, performance.now())
      this.#reading.read(step)
      return
    }
    this.core.aborted(step)
    if (result === 'aborted') return
    const error = failure ?? new IncipitError('decode_failed', 'the KV cache has no room for this step')
    for (const { sequence } of step.rows) {
      const flight = this.#scheduler.jobOf(sequence)
      if (flight) this.#fail(flight, error)
      const text = this.#texts.of(sequence)
      if (text) this.#texts.evict(text)
    }
  }

  #began(flight: Flight): void {
    const sequence = flight.sequence!
    // The rows a text holds live on in the reply that answers it.
    if (!flight.revocable && flight.input) this.#texts.evict(flight.input)
    flight.reply.timings.promptN = flight.prompt.length - flight.cached
    trace?.(
      `begin seq${sequence.order}: ${flight.tier.name}, ${sequence.tokens.length} tokens, ${sequence.computed[0]} of them reused`,
    )
    this.#speculation.begin(flight)
  }

  /** New work must not wait for a step that is only background work, unless that is the beginning of the new work. */
  #interruptBackground(flight: Flight): void {
    const useful = ({ sequence, to }: Rows) =>
      (sequence === flight.sequence || sequence === flight.input?.sequence) &&
      commonPrefix(sequence.tokens, flight.prompt) >= to
    for (const { stage, rows } of this.#steps.keys()) {
      if (rows.every(({ sequence }) => inBackground(sequence)) && !rows.some(useful))
        this.#loaded.stages[stage]!.context.abort()
    }
  }

  // --- ends -------------------------------------------------------------------------------------------------------

  /** Ends a request at once, wherever it is. */
  cancel(flight: Flight): void {
    const { running, waiting } = this.#scheduler
    if (!running.has(flight) && !waiting.includes(flight)) return
    this.#finish(flight, 'cancelled')
    // Stop a running decode if at least half of its rows were for nothing now; the others simply run again.
    for (const step of this.#steps.keys()) {
      const gone = rowsOf({ ...step, rows: step.rows.filter((rows) => !this.#isWanted(rows.sequence)) })
      if (gone > 0 && 2 * gone >= rowsOf(step)) this.#loaded.stages[step.stage]!.context.abort()
    }
  }

  #isWanted(sequence: Sequence): boolean {
    return this.#scheduler.jobOf(sequence) !== undefined || this.#texts.of(sequence) !== undefined
  }

  #finish(flight: Flight, reason: FinishReason): void {
    const { reply } = flight
    trace?.(`end seq${flight.sequence?.order}: ${reason} after ${reply.timings.predictedN} tokens`)
    if (reason !== 'cancelled') this.#speculation.finished(flight)
    this.#scheduler.retire(flight)
    // What was computed may be of use again: to the next turn of the conversation, or to a prompt that begins alike.
    if (reason === 'cancelled') this.#scheduler.release(flight, true)
    else this.#ended.push(flight)
    reply.finish(reason, { promptTokens: flight.prompt.length, cachedTokens: flight.cached })
    this.stats.promptTokens += flight.prompt.length
    this.stats.cachedTokens += flight.cached
    this.stats.retracted += reply.timings.retractedN
    flight.ended = { error: undefined }
    flight.close()
  }

  #fail(flight: Flight, error: unknown): void {
    this.#scheduler.end(flight, false)
    flight.ended = { error }
    flight.close(error)
  }

  /** Pages the weights in, measures what rows cost, and brings back the prefixes that earlier runs kept. */
  async warmUp(): Promise<void> {
    await warmUp(this.#loaded, this.core, this.costs)
    await this.#pinned.restoreAll()
  }
}
