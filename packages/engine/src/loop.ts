import { IncipitError } from './errors.ts'
import type { Flight } from './flight.ts'
import { Core, commonPrefix } from './flow/core.ts'
import { CostModel } from './flow/cost.ts'
import { choose } from './flow/sample.ts'
import { inBackground, inPrompt, type Rows, rowsOf, type Sequence, type Step, tailLength } from './flow/sequence.ts'
import { batchRows, type Loaded, slackCells } from './load.ts'
import type { OpenText } from './open-text.ts'
import { OpenTexts } from './open-texts.ts'
import type { FinishReason } from './request.ts'
import { Speculation } from './speculate.ts'
import { type EngineStats, emptyStats } from './stats.ts'
import { describeStep, trace } from './trace.ts'

// Without maxTokens a reply first reserves this much, and more as it grows.
const reservedReply = 256
// Prompt rows of a step that running replies have to wait for.
const mixedPromptRows = 128
// Rows of a step of background work: it can be aborted, but not everywhere at once.
const backgroundRows = 128

/**
 * The engine's loop over all requests in flight. `step()` is the whole of it: schedule, run, accept, emit. Every change
 * of a sequence goes through `flow/core.ts`.
 */
export class Loop {
  readonly core: Core
  readonly stats: EngineStats = emptyStats()
  readonly #loaded: Loaded
  readonly #cost = new CostModel()
  readonly #speculation: Speculation
  readonly #waiting: Flight[] = []
  readonly #running = new Set<Flight>()
  readonly #texts: OpenTexts
  readonly #logits: Float32Array
  #step: Step | undefined
  #pump: Promise<void> | undefined

  constructor(loaded: Loaded) {
    this.#loaded = loaded
    const { stages } = loaded.device
    this.core = new Core({
      stages: stages.length,
      slots: loaded.slots,
      caches: {
        remove: (stage, slot, from) => stages[stage]!.remove(slot, from),
        share: (stage, from, to, end) => stages[stage]!.context.sequenceCopy(from, to, 0, end),
      },
      limits: {
        batch: batchRows,
        mixedPrompt: mixedPromptRows,
        background: backgroundRows,
        ...(loaded.exit ? { exitStage: 0 } : {}),
      },
    })
    this.#speculation = new Speculation(loaded, this.core, this.#cost, this.stats)
    this.#texts = new OpenTexts(this.core)
    this.#logits = new Float32Array(loaded.info.vocabulary)
    this.stats.cells = loaded.cells
  }

  /** Running and waiting requests, without replies to texts that are not final. */
  get load(): { running: number; waiting: number; cellsUsed: number } {
    const running = [...this.#running].filter((flight) => flight.ahead === undefined).length
    return { running, waiting: this.#waiting.length, cellsUsed: this.#cellsUsed() }
  }

  /** Queues a request. */
  submit(flight: Flight): void {
    this.#waiting.push(flight)
    if (flight.ahead === undefined) this.#interruptBackground(flight)
    this.#start()
  }

  /** A reply to a text that is final now, exactly as it was when the reply began: it goes on as an ordinary one. */
  adopt(flight: Flight): void {
    flight.ahead = undefined
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

  /** Resolves when nothing is left to be done. */
  async idle(): Promise<void> {
    while (this.#pump !== undefined) await this.#pump
  }

  /** Ends all requests with an error. */
  failAll(error: unknown): void {
    for (const flight of [...this.#waiting.splice(0), ...this.#running]) this.#fail(flight, error)
    this.#texts.clear()
    this.#loaded.device.abort()
  }

  // --- the loop ---------------------------------------------------------------------------------------------------

  #start(): void {
    this.#pump ??= this.#run()
      .catch((error: unknown) => this.failAll(error))
      .finally(() => {
        this.#pump = undefined
        if (this.#waiting.length > 0) this.#start()
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
      this.stats.overheadMs += now - decodeEnd - (this.stats.decodeMs - before)
      decodeEnd = now
    }
  }

  /** Schedule, run, accept, emit. False when there is nothing to do. */
  async step(): Promise<boolean> {
    this.#admit()
    const { cells, info } = this.#loaded
    this.#texts.revise(cells - this.#cellsUsed() + this.#texts.cells, info.contextLength)
    for (const flight of this.#running) this.#speculation.prepare(flight)
    const step = this.core.next()
    if (step === undefined) return false
    this.#step = step
    const ran = await this.#decode(step)
    this.#step = undefined
    if (ran) this.#accept(step)
    return true
  }

  /** Runs the step on the device. False when it was aborted or failed; then nothing of it counts. */
  async #decode(step: Step): Promise<boolean> {
    for (const { sequence } of step.rows) this.#flightOf(sequence)?.reply.started()
    let failure: unknown
    try {
      const { result, ms } = await this.#loaded.device.run(step)
      trace?.(describeStep(step, result, ms))
      this.stats.steps++
      this.stats.decodeMs += ms
      if (result === 'done') {
        this.stats.rows += rowsOf(step)
        this.#cost.observe(step.stage, rowsOf(step), ms)
        this.core.ran(step)
        return true
      }
      if (result === 'full') failure = new IncipitError('decode_failed', 'the KV cache has no room for this step')
    } catch (error) {
      failure = error
    }
    this.core.aborted(step)
    if (failure !== undefined) {
      for (const { sequence } of step.rows) {
        const flight = this.#flightOf(sequence)
        if (flight) this.#fail(flight, failure)
        const text = this.#texts.of(sequence)
        if (text) this.#texts.evict(text)
      }
    }
    return false
  }

  // --- before a step ----------------------------------------------------------------------------------------------

  #admit(): void {
    // Replies to texts that are not final wait behind all others.
    this.#waiting.sort((a, b) => Number(a.ahead !== undefined) - Number(b.ahead !== undefined))
    for (let flight = this.#waiting[0]; flight !== undefined; flight = this.#waiting[0]) {
      const { info, cells: all, parallel } = this.#loaded
      const reply = Math.min(flight.maxTokens, reservedReply, info.contextLength - flight.prompt.length)
      const cells = Math.min(flight.prompt.length + reply + slackCells, all)
      const fits = () => this.#running.size < parallel && this.#cellsUsed() + cells <= all && this.core.freeSlots >= 2
      while (!fits()) if (!this.#makeRoom(flight)) return
      this.#waiting.shift()
      this.#begin(flight, cells)
    }
  }

  /** Drops the least valuable thing that is not a request: a reply ahead, else the least recently used text. */
  #makeRoom(flight: Flight): boolean {
    if (flight.ahead !== undefined) return false
    const ahead = [...this.#running].find((other) => other.ahead !== undefined)
    if (ahead) {
      this.#drop(ahead)
      return true
    }
    return this.#texts.evictOldest(flight.text)
  }

  #begin(flight: Flight, cells: number): void {
    const source = this.#texts.shared(flight)
    const options = { exits: flight.proposers.has('exit'), background: flight.ahead !== undefined }
    const sequence = source ? this.core.branch(source, flight.prompt, options)! : this.core.add(flight.prompt, options)!
    // The rows a text holds live on in the reply that answers it.
    if (flight.ahead === undefined && flight.text) this.#texts.evict(flight.text)
    flight.sequence = sequence
    flight.cells = cells
    flight.cached = sequence.computed[0]!
    flight.reply.timings.promptN = flight.prompt.length - flight.cached
    flight.looks = flight.looks.filter(({ forkAt }) => forkAt > flight.cached)
    sequence.limit = flight.looks[0]?.forkAt ?? Number.POSITIVE_INFINITY
    this.#running.add(flight)
  }

  #cellsUsed(): number {
    let used = 0
    for (const flight of this.#running) used += flight.cells
    return used + this.#texts.cells
  }

  /** New work must not wait for a step that is only background work, unless that is the beginning of the new work. */
  #interruptBackground(flight: Flight): void {
    const useful = ({ sequence, to }: Rows) =>
      (sequence === flight.sequence || sequence === flight.text?.sequence) &&
      commonPrefix(sequence.tokens, flight.prompt) >= to
    const rows = this.#step?.rows ?? []
    if (rows.length > 0 && rows.every(({ sequence }) => inBackground(sequence)) && !rows.some(useful)) {
      this.#loaded.device.abort()
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
        if (last && rows.output < rows.to)
          this.#speculation.look(flight, this.#read(step, row + rows.to - 1 - rows.from))
      } else {
        if (last) this.#decide(flight, rows, row)
        else if (rows.output < rows.to) {
          this.#speculation.exit(flight, rows, this.#read(step, row + rows.to - 1 - rows.from))
        }
        if (this.#running.has(flight)) {
          flight.reply.say()
          flight.reply.show(flight.guesses, flight.draft?.source ?? 'exit')
        }
      }
      row += rows.to - rows.from
    }
  }

  #read(step: Step, row: number): Float32Array {
    return this.#loaded.device.stages[step.stage]!.context.logits(row, this.#logits)
  }

  /** The last stage decides: its logits confirm the tail token by token, or replace it. */
  #decide(flight: Flight, rows: Rows, row: number): void {
    const { sequence, from, output } = rows
    const { reply } = flight
    if (!inPrompt(sequence)) reply.timings.promptMs ??= reply.elapsed()
    for (;;) {
      // Row committed - 1 decides the first token that is not committed; a rollback takes the rows after it away.
      const index = sequence.committed - 1
      if (index < output || index >= sequence.computed.at(-1)!) return
      const logits = this.#loaded.device.stages.at(-1)!.context.logits(row + index - from, this.#logits)
      const token = choose(logits, flight.sampling, sequence.committed)
      const tail = tailLength(sequence)
      const verdict = this.core.decide(sequence, token)
      this.#speculation.learn(flight, verdict === 'confirmed', tail)
      this.stats.generatedTokens++
      const ended = reply.commit(token) ?? this.#limitOf(flight)
      if (ended) {
        this.#finish(flight, ended)
        return
      }
      // A reply ahead stops here until its text is final.
      if (flight.ahead && sequence.committed - sequence.prompt >= flight.ahead.budget) sequence.limit = 0
    }
  }

  /** Why a reply must end after the token just committed, if it must. Grows its share of the cache. */
  #limitOf(flight: Flight): FinishReason | undefined {
    const { committed, prompt } = flight.sequence!
    const { cells, info } = this.#loaded
    if (committed - prompt >= flight.maxTokens) return 'length'
    if (committed >= info.contextLength) return 'context'
    const needed = Math.min(committed + slackCells + 1, cells)
    if (needed <= flight.cells) return undefined
    while (cells - this.#cellsUsed() < needed - flight.cells) if (!this.#makeRoom(flight)) return 'context'
    flight.cells += Math.min(reservedReply, cells - this.#cellsUsed())
    return undefined
  }

  // --- ends -------------------------------------------------------------------------------------------------------

  /** Ends a request at once, wherever it is. */
  cancel(flight: Flight): void {
    const waiting = this.#waiting.indexOf(flight)
    if (waiting >= 0) this.#waiting.splice(waiting, 1)
    else if (!this.#running.has(flight)) return
    const { sequence } = flight
    this.#finish(flight, 'cancelled')
    if (sequence === undefined || this.#step === undefined) return
    // Stop the running decode if at least half of its rows were for nothing now; the others simply run again.
    const gone = rowsOf({ ...this.#step, rows: this.#step.rows.filter((rows) => !this.core.has(rows.sequence)) })
    if (gone > 0 && 2 * gone >= rowsOf(this.#step)) this.#loaded.device.abort()
  }

  /** A reply ahead loses its place. */
  #drop(flight: Flight): void {
    this.#leave(flight)
    flight.ahead?.dropped()
  }

  #finish(flight: Flight, reason: FinishReason): void {
    const { reply, sequence, text } = flight
    // The conversation goes on from here: its rows stay with its text, as long as there is room.
    const kept =
      text && sequence && flight.ahead === undefined && this.#step === undefined && this.#texts.takeOver(text, sequence)
    if (kept) {
      this.#running.delete(flight)
      flight.cells = 0
    } else this.#leave(flight)
    reply.finish(reason, { promptTokens: flight.prompt.length, cachedTokens: flight.cached })
    this.stats.promptTokens += flight.prompt.length
    this.stats.retracted += reply.timings.retractedN
    flight.ended = { error: undefined }
    flight.close()
  }

  #fail(flight: Flight, error: unknown): void {
    this.#leave(flight)
    flight.ended = { error }
    flight.close(error)
  }

  #leave(flight: Flight): void {
    this.#running.delete(flight)
    if (flight.sequence) this.core.remove(flight.sequence)
    flight.cells = 0
  }

  #flightOf(sequence: Sequence): Flight | undefined {
    for (const flight of this.#running) {
      if (flight.sequence === sequence || flight.look?.fork === sequence) return flight
    }
    return undefined
  }

  /** Runs every stage at a few sizes: pages the weights in, and gives the cost model its first numbers. */
  async warmUp(): Promise<void> {
    const token = Math.max(0, this.#loaded.device.stages[0]!.model.vocab.bos)
    // One thread first: it pages the weights in, and it is what the governor compares with.
    for (const [rows, threads] of [[32, 1], [1, 1], [8, 1], [1], [4], [1], [8]] as const) {
      const sequence = this.core.add(new Array<number>(rows).fill(token))!
      for (let step = this.core.next(); step !== undefined; step = this.core.next()) {
        const { result, ms } = await this.#loaded.device.run(step, threads)
        if (result === 'done') {
          this.core.ran(step)
          if (threads === undefined) this.#cost.observe(step.stage, rows, ms)
        } else this.core.aborted(step)
      }
      this.core.remove(sequence)
    }
  }
}
