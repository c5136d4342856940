import { IncipitError } from './errors.ts'
import type { Flight } from './flight.ts'
import { addGuess, setDraft } from './flight.ts'
import { survivalOf } from './flow/calibrate.ts'
import { Core } from './flow/core.ts'
import { bestDraftLength, CostModel } from './flow/cost.ts'
import { choose, probabilityOf, topProbability } from './flow/sample.ts'
import { inPrompt, type Rows, type Step, tailLength } from './flow/sequence.ts'
import { batchRows, type Loaded, mostDrafts, slackCells } from './load.ts'
import { lookupAcceptance } from './propose/lookup.ts'
import { burst } from './propose/skim.ts'
import type { FinishReason } from './request.ts'
import { emptyStats } from './stats.ts'
import { describeStep, trace } from './trace.ts'

// Without maxTokens a reply first reserves this much, and more as it grows.
const reservedReply = 256
// Prompt rows of a step that running replies have to wait for.
const mixedPromptRows = 128
// Tokens an exit may run ahead while the prompt is still in the upper stages: their verification is almost free there.
const exitBurst = 4
const leastBurstSurvival = 0.3

/**
 * The engine's loop over all requests in flight. `step()` is the whole of it: schedule, run, accept, emit. Every change
 * of a sequence goes through `flow/core.ts`.
 */
export class Loop {
  readonly stats = emptyStats()
  readonly #loaded: Loaded
  readonly #core: Core
  readonly #cost = new CostModel()
  readonly #lookup = lookupAcceptance()
  readonly #waiting: Flight[] = []
  readonly #running = new Set<Flight>()
  readonly #logits: Float32Array
  #step: Step | undefined
  #pump: Promise<void> | undefined

  constructor(loaded: Loaded) {
    this.#loaded = loaded
    const { stages } = loaded.device
    this.#core = new Core({
      stages: stages.length,
      slots: loaded.slots,
      caches: {
        remove: (stage, slot, from) => stages[stage]!.remove(slot, from),
        share: (stage, from, to, end) => stages[stage]!.context.sequenceCopy(from, to, 0, end),
      },
      limits: {
        batch: batchRows,
        mixedPrompt: mixedPromptRows,
        ...(loaded.exit ? { exitStage: 0 } : {}),
      },
    })
    this.#logits = new Float32Array(loaded.info.vocabulary)
    this.stats.cells = loaded.cells
  }

  get core(): Core {
    return this.#core
  }

  /** Running and waiting requests. */
  get load(): { running: number; waiting: number; cellsUsed: number } {
    return { running: this.#running.size, waiting: this.#waiting.length, cellsUsed: this.#cellsUsed() }
  }

  /** Queues a request. */
  submit(flight: Flight): void {
    this.#waiting.push(flight)
    this.#start()
  }

  /** Ends all requests with an error. */
  failAll(error: IncipitError): void {
    for (const flight of [...this.#waiting.splice(0), ...this.#running]) this.#fail(flight, error)
    this.#loaded.device.abort()
  }

  /** Resolves when no request is left. */
  async idle(): Promise<void> {
    while (this.#pump !== undefined) await this.#pump
  }

  // --- the loop ---------------------------------------------------------------------------------------------------

  #start(): void {
    this.#pump ??= this.#run().finally(() => {
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
    for (const flight of this.#running) this.#speculate(flight)
    const step = this.#core.next()
    if (step === undefined) return false
    this.#step = step
    const ran = await this.#decode(step)
    this.#step = undefined
    if (ran) this.#accept(step)
    return true
  }

  /** Runs the step on the device. False when it was aborted or failed; then nothing of it counts. */
  async #decode(step: Step): Promise<boolean> {
    for (const { sequence } of step.rows) {
      const flight = this.#flightOf(sequence)
      if (flight && flight.reply.timings.queueMs === 0) flight.reply.timings.queueMs = flight.reply.elapsed()
    }
    try {
      const { result, ms } = await this.#loaded.device.run(step)
      trace?.(describeStep(step, result, ms))
      this.stats.steps++
      this.stats.decodeMs += ms
      if (result === 'done') {
        const rows = step.rows.reduce((sum, { from, to }) => sum + to - from, 0)
        this.#cost.observe(step.stage, rows, ms)
        this.#core.ran(step)
        return true
      }
      this.#core.aborted(step)
      if (result === 'full') throw new IncipitError('decode_failed', 'the KV cache has no room for this step')
    } catch (error) {
      this.#core.aborted(step)
      for (const { sequence } of step.rows) {
        const flight = this.#flightOf(sequence)
        if (flight) this.#fail(flight, error)
      }
    }
    return false
  }

  // --- before a step ----------------------------------------------------------------------------------------------

  #admit(): void {
    for (let flight = this.#waiting[0]; flight !== undefined; flight = this.#waiting[0]) {
      const reply = Math.min(flight.maxTokens, reservedReply, this.#loaded.info.contextLength - flight.prompt.length)
      const cells = Math.min(flight.prompt.length + reply + slackCells, this.#loaded.cells)
      // Every request may want a second slot for a look.
      if (this.#running.size >= this.#loaded.slots / 2 || this.#cellsUsed() + cells > this.#loaded.cells) return
      const sequence = this.#core.add(flight.prompt, { exits: flight.proposers.has('exit') })
      if (sequence === undefined) return
      this.#waiting.shift()
      flight.sequence = sequence
      flight.cells = cells
      flight.reply.timings.promptN = flight.prompt.length
      if (flight.skim) sequence.limit = flight.skim.forkAt
      this.#running.add(flight)
    }
  }

  #cellsUsed(): number {
    let used = 0
    for (const flight of this.#running) used += flight.cells
    return used
  }

  /** Starts a look when its prefix is there, and drafts by lookup when a reply waits for its next token. */
  #speculate(flight: Flight): void {
    const sequence = flight.sequence!
    if (flight.skim && sequence.computed.at(-1)! >= flight.skim.forkAt) {
      const { forkAt, tailFrom } = flight.skim
      flight.skim = undefined
      const fork = this.#core.fork(sequence, forkAt, flight.prompt.slice(tailFrom))
      if (fork) flight.look = { fork, tokens: [], stabilities: [] }
      else sequence.limit = Number.POSITIVE_INFINITY
      trace?.(fork ? `look seq${sequence.order} at ${forkAt}, rest from ${tailFrom}` : 'no slot for a look')
    }
    const ready = sequence.computed.at(-1)! === sequence.tokens.length - 1 && tailLength(sequence) === 0
    if (!flight.lookup || !ready || inPrompt(sequence)) return
    const draft = flight.lookup.propose(sequence.tokens, this.#lookup, (token) => this.#vocab.isEndOfGeneration(token))
    if (draft === undefined) return
    const length = Math.min(
      bestDraftLength(draft.confidences, (rows) => this.#stepMs(rows)),
      this.#room(flight),
    )
    if (length > 0) this.#core.draft(sequence, setDraft(flight, draft, length))
  }

  /** Milliseconds of a step of this many rows through all stages. */
  #stepMs(rows: number): number {
    let ms = 0
    for (let stage = 0; stage < this.#core.stages; stage++) ms += this.#cost.rows(stage, rows)
    return ms
  }

  /** How many more drafts this flight's tail may take. */
  #room(flight: Flight): number {
    const { tokens, prompt, committed } = flight.sequence!
    const wanted = flight.maxTokens - (committed - prompt)
    return Math.max(
      0,
      Math.min(mostDrafts, wanted, this.#loaded.info.contextLength - 1 - committed) - (tokens.length - committed),
    )
  }

  // --- after a step -----------------------------------------------------------------------------------------------

  #accept(step: Step): void {
    const last = step.stage === this.#core.stages - 1
    let row = 0
    for (const rows of step.rows) {
      const flight = this.#flightOf(rows.sequence)
      if (flight !== undefined) {
        if (rows.sequence.kind === 'fork') {
          if (last) this.#look(flight, rows, row)
        } else {
          if (last) this.#decide(flight, rows, row)
          else if (rows.output < rows.to) this.#exit(flight, rows, row)
          this.#emit(flight)
        }
      }
      row += rows.to - rows.from
    }
  }

  /** The last stage decides: its logits confirm the tail token by token, or replace it. */
  #decide(flight: Flight, rows: Rows, row: number): void {
    const { sequence, from, output } = rows
    const { timings } = flight.reply
    if (timings.promptMs === null && !inPrompt(sequence)) timings.promptMs = flight.reply.elapsed()
    for (;;) {
      // Row committed - 1 decides the first token that is not committed; a rollback takes the rows after it away.
      const index = sequence.committed - 1
      if (index < output || index >= sequence.computed.at(-1)!) return
      const logits = this.#stage(this.#core.stages - 1).context.logits(row + index - from, this.#logits)
      const token = choose(logits, flight.sampling, sequence.committed)
      const tail = tailLength(sequence)
      const verdict = this.#core.decide(sequence, token)
      this.#learn(flight, verdict === 'confirmed', tail)
      this.stats.generatedTokens++
      const ended = flight.reply.commit(token) ?? this.#limitOf(flight)
      if (ended) {
        this.#finish(flight, ended)
        return
      }
    }
  }

  /** Keeps the books of a draft: counts, acceptance, and the guesses that are left. */
  #learn(flight: Flight, confirmed: boolean, tail: number): void {
    const { draft, reply } = flight
    if (draft === undefined) return
    if (confirmed) {
      draft.right++
      reply.timings.acceptedN++
      flight.guesses.shift()
    } else {
      reply.timings.rejectedN += tail
      flight.guesses = []
    }
    if (flight.guesses.length > 0) return
    this.stats.drafted += draft.offered
    this.stats.accepted += draft.right
    this.stats.rejected += draft.offered - draft.right
    if (draft.source === 'lookup') this.#lookup[draft.match]!.observe(draft.offered, draft.right)
    trace?.(`${draft.source} seq${flight.sequence!.order}: ${draft.right} of ${draft.offered} accepted`)
    flight.draft = undefined
  }

  /** Why a reply must end after the token just committed, if it must. Grows its share of the cache. */
  #limitOf(flight: Flight): FinishReason | undefined {
    const { committed, prompt } = flight.sequence!
    if (committed - prompt >= flight.maxTokens) return 'length'
    if (committed >= this.#loaded.info.contextLength) return 'context'
    const needed = Math.min(committed + slackCells + 1, this.#loaded.cells)
    if (needed <= flight.cells) return undefined
    const more = Math.min(reservedReply, this.#loaded.cells - this.#cellsUsed())
    if (more < needed - flight.cells) return 'context'
    flight.cells += more
    return undefined
  }

  /** Stage 0's exit head guesses what follows the last token. */
  #exit(flight: Flight, rows: Rows, row: number): void {
    const { sequence, to } = rows
    const exit = this.#loaded.exit!
    // Guesses of someone else already stand there, or the answer came meanwhile.
    if (to !== sequence.tokens.length || (flight.draft && flight.draft.source !== 'exit')) return
    const logits = this.#stage(0).context.logits(row + to - 1 - rows.from, this.#logits)
    const token = choose(logits, flight.sampling, to)
    const confidence = topProbability(logits)
    const raw = confidence.token === token ? confidence.probability : probabilityOf(logits, token)
    const first = to === sequence.prompt
    const stability = survivalOf(first ? exit.calibration.first : exit.calibration.later, raw)
    const tail = tailLength(sequence)
    const worth = inPrompt(sequence) ? this.#burstPays(flight, stability) : this.#exitPays(tail, stability)
    if (!worth || this.#room(flight) === 0) return
    addGuess(flight, 'exit', { token, stability })
    this.#core.draft(sequence, [token])
    if (this.#vocab.isEndOfGeneration(token)) sequence.exits = false
  }

  /**
   * While the prompt is in the upper stages, verification is almost free, but every guess holds the prompt up for one row
   * of stage 0: a first guess that will be shown is always worth it, others if they are likely to survive.
   */
  #burstPays(flight: Flight, stability: number): boolean {
    if (flight.guesses.length === 0 && flight.provisional) return true
    const survival = flight.guesses.reduce((product, guess) => product * guess.stability, stability)
    return flight.guesses.length < exitBurst && survival >= leastBurstSurvival
  }

  /**
   * While decoding, a guess pays when the upper stages' time it saves if right outweighs what it costs if wrong: one row
   * of stage 0 and one more row above.
   */
  #exitPays(tail: number, stability: number): boolean {
    let above = 0
    let more = 0
    for (let stage = 1; stage < this.#core.stages; stage++) {
      above += this.#cost.rows(stage, 1)
      more += this.#cost.rows(stage, tail + 2) - this.#cost.rows(stage, tail + 1)
    }
    return stability * (above - more) > (1 - stability) * (this.#cost.rows(0, 1) + more)
  }

  /** A look ahead has its next token; when it has seen enough, its tokens become the parent's tail. */
  #look(flight: Flight, rows: Rows, row: number): void {
    const look = flight.look!
    const parent = flight.sequence!
    const { fork } = look
    const index = fork.committed - 1
    if (index < rows.output || index >= rows.to) return
    const logits = this.#stage(this.#core.stages - 1).context.logits(row + index - rows.from, this.#logits)
    const token = choose(logits, flight.sampling, parent.prompt + look.tokens.length)
    const top = topProbability(logits)
    const raw = top.token === token ? top.probability : probabilityOf(logits, token)
    const { first, later } = this.#loaded.skim
    look.stabilities.push(survivalOf(look.tokens.length === 0 ? first : later, raw))
    look.tokens.push(token)
    this.#core.decide(fork, token)
    const room = Math.min(burst, this.#room(flight))
    const done = look.tokens.length >= room || this.#vocab.isEndOfGeneration(token)
    // The first guess is shown at once; the rest of the burst follows it.
    const draft = { source: 'skim' as const, tokens: look.tokens, confidences: look.stabilities }
    if (done) {
      this.#core.remove(fork)
      flight.look = undefined
      this.#core.draft(parent, setDraft(flight, draft, room))
      parent.limit = Number.POSITIVE_INFINITY
      this.#emit(flight)
    } else {
      flight.reply.show(
        look.tokens.map((t, i) => ({ token: t, stability: look.stabilities[i]! })),
        'skim',
      )
    }
  }

  #emit(flight: Flight): void {
    if (!this.#running.has(flight)) return
    flight.reply.say()
    flight.reply.show(flight.guesses, flight.draft?.source ?? 'exit')
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
    let gone = 0
    let all = 0
    for (const rows of this.#step.rows) {
      all += rows.to - rows.from
      if (!this.#core.has(rows.sequence)) gone += rows.to - rows.from
    }
    if (2 * gone >= all) this.#loaded.device.abort()
  }

  #finish(flight: Flight, reason: FinishReason): void {
    this.#leave(flight)
    const { reply } = flight
    reply.finish(reason, { promptTokens: flight.prompt.length, cachedTokens: 0 })
    this.stats.promptTokens += flight.prompt.length
    this.stats.retracted += reply.timings.retractedN
    flight.close()
  }

  #fail(flight: Flight, error: unknown): void {
    this.#leave(flight)
    flight.close(error)
  }

  #leave(flight: Flight): void {
    this.#running.delete(flight)
    if (flight.sequence) this.#core.remove(flight.sequence)
    flight.cells = 0
  }

  /** Runs every stage at a few sizes: pages the weights in, and gives the cost model its first numbers. */
  async warmUp(): Promise<void> {
    const token = Math.max(0, this.#vocab.bos)
    for (const rows of [32, 1, 1, 4, 1, 8]) {
      const sequence = this.#core.add(new Array<number>(rows).fill(token))!
      for (let step = this.#core.next(); step !== undefined; step = this.#core.next()) {
        const { ms } = await this.#loaded.device.run(step)
        this.#core.ran(step)
        // The first run pages the weights in: it says nothing about cost.
        if (rows < 32) this.#cost.observe(step.stage, rows, ms)
      }
      this.#core.remove(sequence)
    }
  }

  get #vocab() {
    return this.#stage(0).model.vocab
  }

  #stage(index: number) {
    const stage = this.#loaded.device.stages[index]
    if (stage === undefined) throw new IncipitError('closed', 'the engine was closed')
    return stage
  }

  #flightOf(sequence: Rows['sequence']): Flight | undefined {
    for (const flight of this.#running) {
      if (flight.sequence === sequence || flight.look?.fork === sequence) return flight
    }
    return undefined
  }
}
