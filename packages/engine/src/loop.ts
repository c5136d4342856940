import { setImmediate } from 'node:timers/promises'
import { IncipitError } from './errors.ts'
import type { Flight } from './flight.ts'
import { Core, commonPrefix } from './flow/core.ts'
import { CostModel } from './flow/cost.ts'
import { Crowd } from './flow/crowd.ts'
import type { SlotRows } from './flow/passes.ts'
import { choose, isTypical } from './flow/sample.ts'
import { Scheduler } from './flow/scheduler.ts'
import {
  depthOf,
  inBackground,
  inPrompt,
  type Rows,
  rowsOf,
  type Sequence,
  type Step,
  slotRowsOf,
  tailLength,
} from './flow/sequence.ts'
import type { DecodeResult } from './llama/context.ts'
import { batchRows, type Loaded, tileRows } from './load.ts'
import type { OpenText } from './open-text.ts'
import { OpenTexts } from './open-texts.ts'
import { keptState, PinnedPrefixes, type RowsState } from './pinned.ts'
import { maskLogits } from './propose/grammar.ts'
import type { FinishReason } from './request.ts'
import { Speculation } from './speculate/speculation.ts'
import { type EngineStats, emptyStats } from './stats.ts'
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
 * The engine's loop over all requests in flight. `step()` is the whole of it: admit, speculate, schedule, run, accept,
 * emit. Every change of a sequence goes through `flow/core.ts`, every decision who runs through `flow/scheduler.ts`.
 */
export class Loop {
  readonly core: Core
  readonly stats: EngineStats = emptyStats()
  readonly #loaded: Loaded
  readonly costs = new CostModel()
  readonly #crowd = new Crowd()
  readonly #scheduler: Scheduler<Flight>
  readonly #speculation: Speculation
  readonly #texts: OpenTexts
  readonly #pinned: PinnedPrefixes
  /** Requests that are over, but still have their place. */
  readonly #ended: Flight[] = []
  /** What needs the caches for itself, between two steps. */
  readonly #between: (() => Promise<void>)[] = []
  readonly #logits: Float32Array
  /** Steps that run, one per device at most, with what will have become of them. */
  readonly #steps = new Map<Step, Promise<Outcome>>()
  #pump: Promise<void> | undefined

  constructor(loaded: Loaded) {
    this.#loaded = loaded
    const { stages, devices } = loaded
    this.core = new Core({
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
        ...(loaded.unified ? { mixed: mixedRows } : { apart: true }),
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
    this.#texts = new OpenTexts(this.core, this.#scheduler.prefixes)
    this.#pinned = new PinnedPrefixes(loaded, this.core, this.#scheduler.prefixes)
    this.#logits = new Float32Array(loaded.info.vocabulary)
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
      if (flight.text) this.#texts.evict(flight.text)
      flight.sequence.background = false
      flight.sequence.limit = Number.POSITIVE_INFINITY
    }
    this.#start()
  }

  /** Computes a text ahead, from now on, whenever nothing else is to be done. Called again after every change. */
  follow(text: OpenText): void {
    this.#texts.follow(text)
    this.#start()
  }

  /** Lets a text's rows go. */
  forget(text: OpenText): void {
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

  /** Admit, speculate, schedule, run, accept, emit. False when there is nothing to do. */
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
    if (stuck === undefined || Number.isFinite(stuck.sequence!.limit)) return false
    this.#finish(stuck, 'context')
    return true
  }

  /** Runs the step on its device. */
  async #decode(step: Step): Promise<Outcome> {
    for (const { sequence } of step.rows) this.#flightOf(sequence)?.reply.started()
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
      this.costs.observePasses(step.stage, this.core.passesOf(step), ms, depthOf(step))
      this.#loaded.stages[step.stage]!.settle(step, this.#loaded.stages[step.stage - 1])
      this.core.ran(step, performance.now())
      this.#accept(step)
      return
    }
    this.core.aborted(step)
    if (result === 'aborted') return
    const error = failure ?? new IncipitError('decode_failed', 'the KV cache has no room for this step')
    for (const { sequence } of step.rows) {
      const flight = this.#flightOf(sequence)
      if (flight) this.#fail(flight, error)
      const text = this.#texts.of(sequence)
      if (text) this.#texts.evict(text)
    }
  }

  #began(flight: Flight): void {
    const sequence = flight.sequence!
    // The rows a text holds live on in the reply that answers it.
    if (!flight.revocable && flight.text) this.#texts.evict(flight.text)
    flight.reply.timings.promptN = flight.prompt.length - flight.cached
    trace?.(
      `begin seq${sequence.order}: ${flight.tier.name}, ${sequence.tokens.length} tokens, ${sequence.computed[0]} of them reused`,
    )
    this.#speculation.begin(flight)
  }

  /** New work must not wait for a step that is only background work, unless that is the beginning of the new work. */
  #interruptBackground(flight: Flight): void {
    const useful = ({ sequence, to }: Rows) =>
      (sequence === flight.sequence || sequence === flight.text?.sequence) &&
      commonPrefix(sequence.tokens, flight.prompt) >= to
    for (const { stage, rows } of this.#steps.keys()) {
      if (rows.every(({ sequence }) => inBackground(sequence)) && !rows.some(useful))
        this.#loaded.stages[stage]!.context.abort()
    }
  }

  // --- after a step -----------------------------------------------------------------------------------------------

  #accept(step: Step): void {
    const last = step.stage === this.core.stages - 1
    let row = 0
    for (const rows of step.rows) {
      const { sequence } = rows
      const flight = this.#flightOf(sequence)
      if (flight === undefined) {
        this.#texts.of(sequence)?.onProgress?.()
      } else if (sequence.kind === 'fork') {
        // The prompt's own first token may have been decided just now: then the look is over.
        if (last && rows.output < rows.valid && this.core.has(sequence))
          this.#speculation.look(flight, this.#read(step, row + rows.to - 1 - rows.from))
      } else {
        if (flight.heads && step.stage === 0 && rows.valid > rows.from) this.#speculation.see(flight, rows)
        if (last) this.#decide(flight, rows, row)
        else if (rows.output < rows.valid && rows.valid === rows.to) {
          const token = this.#speculation.exit(flight, rows, this.#read(step, row + rows.to - 1 - rows.from))
          if (token !== undefined) this.#said(flight, token, 'earlyN')
        }
        if (this.#scheduler.running.has(flight)) {
          flight.reply.say()
          flight.reply.show(flight.guesses, flight.draft?.source ?? 'exit')
        }
      }
      row += rows.to - rows.from
    }
  }

  #read(step: Step, row: number): Float32Array {
    return this.#loaded.stages[step.stage]!.context.logits(row, this.#logits)
  }

  /** The last stage decides: its logits confirm the tail token by token, or replace it. */
  #decide(flight: Flight, rows: Rows, row: number): void {
    const { slot, from, output } = rows
    const sequence = flight.sequence!
    const { reply } = flight
    if (!inPrompt(sequence)) reply.timings.promptMs ??= reply.elapsed()
    // These rows are not, or no longer, the sequence's when another branch was right.
    while (sequence.slot === slot) {
      // Row committed - 1 decides the first token that is not committed; a rollback takes the rows after it away.
      const index = sequence.committed - 1
      if (index < output || index >= Math.min(rows.valid, sequence.computed.at(-1)!)) return
      const logits = this.#loaded.stages.at(-1)!.context.logits(row + index - from, this.#logits)
      const { grammar, sampling } = flight
      if (grammar) maskLogits(logits, grammar.allowed(sequence.tokens.slice(sequence.prompt, sequence.committed)))
      const choice = choose(logits, sampling, sequence.committed)
      const token = this.#tolerates(flight, logits) ? sequence.tokens[sequence.committed]! : choice
      if (sequence.committed === sequence.prompt) this.#speculation.decided(flight)
      const tail = tailLength(sequence)
      const verdict = this.core.decide(sequence, token)
      this.#speculation.learn(flight, verdict === 'confirmed', tail)
      if (verdict === 'branched') {
        this.stats.branched++
        trace?.(`branch of seq${sequence.order}: right`)
      }
      if (!this.#said(flight, token, token === choice ? undefined : 'toleratedN')) return
      // A reply ahead stops here until its text is final.
      if (flight.ahead && sequence.committed - sequence.prompt >= flight.ahead.budget) sequence.limit = 0
    }
  }

  /** Policy `tolerant`: a token that is shown already stays when the full model holds it nearly as likely as its best. */
  #tolerates({ policy, reply, sequence, alpha }: Flight, logits: Float32Array): boolean {
    if (policy !== 'tolerant' || reply.shownTokens === 0) return false
    const shown = sequence!.tokens[sequence!.committed]
    return shown !== undefined && isTypical(logits, shown, alpha)
  }

  /** A token is final. False when the reply ends with it. */
  #said(flight: Flight, token: number, lossy: 'toleratedN' | 'earlyN' | undefined): boolean {
    const { reply } = flight
    this.stats.generatedTokens++
    if (lossy) {
      reply.timings[lossy]++
      this.stats[lossy === 'earlyN' ? 'early' : 'tolerated']++
    }
    const ended = reply.commit(token) ?? this.#limitOf(flight)
    if (ended) this.#finish(flight, ended)
    return ended === undefined
  }

  /** Why a reply must end after the token just committed, if it must. */
  #limitOf(flight: Flight): FinishReason | undefined {
    const { committed, prompt } = flight.sequence!
    if (committed - prompt >= flight.maxTokens) return 'length'
    return committed >= this.#loaded.info.contextLength ? 'context' : undefined
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
    return this.#flightOf(sequence) !== undefined || this.#texts.of(sequence) !== undefined
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

  #flightOf(sequence: Sequence): Flight | undefined {
    const root = sequence.parent ?? sequence
    for (const flight of this.#scheduler.running) if (flight.sequence === root) return flight
    return undefined
  }

  /**
   * Runs every stage at a few sizes: pages the weights in, and gives the cost model its first numbers where no earlier run
   * left any.
   */
  async warmUp(): Promise<void> {
    const { stages } = this.#loaded
    const token = Math.max(0, stages[0]!.model.vocab.bos)
    // One thread first: it pages the weights in, and it is what the governor compares with.
    const sizes = [[32, 1], [1, 1], [8, 1], [1], [4], [32], [1], [8]] as const
    const { profile } = this.#loaded
    if (profile) this.costs.load(profile.costs)
    for (const [rows, threads] of profile ? sizes.slice(0, 4) : sizes) {
      const sequence = this.core.add(new Array<number>(rows).fill(token))!
      for (let stage = 0; stage < stages.length; ) {
        const { device } = stages[stage]!
        const step = this.core.next(this.#loaded.devices.indexOf(device))!
        const { result, ms } = await device.run(step, stages[stage]!, stages[stage - 1], threads)
        if (result === 'done') {
          stages[stage]!.settle(step, stages[stage - 1])
          this.core.ran(step, performance.now())
          if (threads === undefined) this.costs.observe(stage, rowsOf(step), ms, depthOf(step))
          if (sequence.computed[stage] === rows) stage++
        } else this.core.aborted(step)
      }
      this.core.remove(sequence)
    }
    await this.#pinned.restoreAll()
  }
}
