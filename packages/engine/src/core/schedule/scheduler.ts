import type { Tier } from '../../api/tiers.ts'
import { type Costs, throughAll } from '../cost/costs.ts'
import { isSaved, type SavedRows } from '../kv/saved-rows.ts'
import { inBackground, inPrompt, rowsOf, type Sequence, type Step } from '../sequences/sequence.ts'
import { commonPrefix, type SequenceTable } from '../sequences/sequence-table.ts'
import { PrefixCache } from './prefix-cache.ts'
import { stretch } from './priority.ts'
import type { Limits } from './schedule.ts'
import { StepPlanner } from './step-planner.ts'

/** Where a request is: waiting for a place, with one, or over. */
export type Phase = 'waiting' | 'running' | 'over'

/** What the scheduler knows of a request. */
export interface Job {
  readonly prompt: readonly number[]
  /** Only jobs of the same namespace share rows. */
  readonly cacheNamespace: string
  readonly tier: Tier
  /** ms on the clock that the scheduler is told. */
  readonly arrival: number
  /** Ask the exit head. */
  readonly wantsExit: boolean
  /** Uses rows of others and leaves its own to others. */
  readonly shares: boolean
  /** Prompt rows from this one on have to run, because their output is wanted; Infinity: none. */
  readonly scoresFrom: number
  /** Most tokens of the reply. */
  maxTokens: number
  /** Work for a text that is not final: waits behind all others and goes first when a place is needed. */
  readonly revocable: boolean
  /** Computes nothing for now: it is given no place, and gives its own to whoever wants it. */
  readonly held?: boolean

  // The scheduler's own from here on: nobody else changes these.

  phase: Phase
  /** Undefined while it waits for a place. */
  sequence: Sequence | undefined
  /** Prompt rows it found computed when it first began. */
  cached: number
  /** Committed tokens of a job that lost its place: it goes on from there. */
  resume: readonly number[] | undefined
}

export interface SchedulerEvents<J extends Job> {
  /** A job got its place. */
  began(job: J): void
  /** A job's looks, other continuations and tail are gone, because their place is needed. */
  guessesDropped(job: J): void
  /** A job is losing its place, its guesses with it, and waits again; its committed tokens stay. */
  preempted(job: J): void
  /** A revocable job lost its place for good. */
  dropped(job: J): void
}

// A running reply claims room for this many tokens ahead; beyond that it may have to give way.
const claimedAhead = 64
// Drafts and looks of a job.
const slackCells = 32
// Waiting for somebody else to compute a common beginning is worth it from this many rows on.
const worthWaiting = 32

/**
 * Which requests run: admission, memory, reuse and preemption. Pure, as the table below it, which it tells what to run;
 * the engine and the simulator drive the same code.
 *
 * Memory is counted in KV cells, shared ones once. A request is admitted when its prompt and the next part of its reply
 * fit beside what the running ones have claimed; speculation claims nothing. When room is needed, texts that are still
 * being written give way first, then guesses, then revocable work, then batch jobs, then the request that came last: it
 * is computed again later (preemption by recomputation).
 */
export class Scheduler<J extends Job> {
  readonly table: SequenceTable
  readonly prefixes: PrefixCache
  readonly running = new Set<J>()
  readonly #waiting: J[] = []
  readonly #costs: Costs
  readonly #parallel: number
  readonly #planner: StepPlanner
  readonly #events: SchedulerEvents<J>
  preemptions = 0

  /**
   * @param options.keptBytes most memory for rows of requests that are over
   * @param options.worthCopying as in `PrefixCache`
   */
  constructor(
    table: SequenceTable,
    options: {
      costs: Costs
      limits: Limits
      parallel: number
      keptBytes: number
      worthCopying?: (bytes: number) => number
      events: SchedulerEvents<J>
    },
  ) {
    this.table = table
    this.#costs = options.costs
    this.#parallel = options.parallel
    this.#events = options.events
    this.#planner = new StepPlanner(table, options)
    this.prefixes = new PrefixCache(table, { ...options, bytes: options.keptBytes })
  }

  get waiting(): readonly J[] {
    return this.#waiting
  }

  /** The running job that a sequence, a look or another continuation belongs to. */
  jobOf(sequence: Sequence): J | undefined {
    const root = sequence.parent ?? sequence
    for (const job of this.running) if (job.sequence === root) return job
    return undefined
  }

  submit(job: J): void {
    job.phase = 'waiting'
    this.#waiting.push(job)
  }

  /** KV cells that are claimed: in use, and those that running requests have not filled yet. */
  get claimed(): number {
    let cells = this.table.cells.used
    for (const job of this.running) cells += this.#unfilled(job)
    return cells
  }

  /** Cells that cached texts and texts that are still being written may use. */
  get roomForTexts(): number {
    let cells = this.table.cells.capacity
    for (const job of this.running) cells -= this.#unfilled(job) + this.table.cells.rows(job.sequence!.slot)
    return Math.max(0, cells)
  }

  #unfilled(job: J): number {
    const { prefillLength: prefill, committed, slot } = job.sequence!
    return Math.max(0, this.#wanted(job, Math.max(prefill, committed)) - this.table.cells.rows(slot))
  }

  /** Cells a job claims with this many tokens so far. */
  #wanted(job: J, tokens: number): number {
    const ahead = Math.min(claimedAhead, Math.max(1, job.prompt.length + job.maxTokens - tokens))
    return Math.min(tokens + ahead + slackCells, this.table.cells.capacity)
  }

  // --- admission ----------------------------------------------------------------------------------------------------

  /** Gives places to waiting jobs, the one that is due first before the others. */
  admit(now: number): void {
    if (this.#waiting.length === 0) return
    const due = new Map(this.#waiting.map((job) => [job, this.#due(job)]))
    this.#waiting.sort((a, b) => Number(a.revocable) - Number(b.revocable) || due.get(a)! - due.get(b)!)
    for (const job of [...this.#waiting]) {
      if (job.held) continue
      const tokens = job.resume ?? job.prompt
      if (job.shares && this.#beginningIsComputed(job, tokens)) continue
      if (!this.#makePlace(job, tokens, this.#sourceOf(job, tokens), now)) break
      this.#waiting.splice(this.#waiting.indexOf(job), 1)
      // Making room may have changed who has it.
      this.#begin(job, tokens, this.#sourceOf(job, tokens))
    }
  }

  /** Who has a job's beginning. */
  #sourceOf({ shares, cacheNamespace, scoresFrom }: J, tokens: readonly number[]): Sequence | SavedRows | undefined {
    if (!shares) return undefined
    return this.prefixes.find(cacheNamespace, tokens, Math.min(tokens.length - 1, scoresFrom))?.holder
  }

  #due(job: J): number {
    const rows = (job.resume ?? job.prompt).length
    const ms = throughAll(this.table.stages, this.#costs, rows)
    return job.arrival + job.tier.ttftMs + stretch * ms
  }

  /** Somebody no less urgent is computing the same beginning right now: it is taken from there when it is done. */
  #beginningIsComputed(job: J, tokens: readonly number[]): boolean {
    // Where they part there will be no checkpoint.
    if (!this.table.dropsRows) return false
    for (const { sequence, cacheNamespace: salt, tier, revocable, shares } of this.running) {
      if (
        !sequence ||
        !shares ||
        salt !== job.cacheNamespace ||
        revocable ||
        !inPrompt(sequence) ||
        tier.ttftMs > job.tier.ttftMs
      )
        continue
      // Its first tokens tell nearly always.
      if (sequence.tokens[0] !== tokens[0]) continue
      const same = Math.min(commonPrefix(sequence.tokens, tokens), sequence.prefillLength, job.scoresFrom)
      if (same - sequence.computed.at(-1)! >= worthWaiting) return true
    }
    return false
  }

  /**
   * Room for a job, at the cost of what is worth less. False when it has to wait.
   * @param source has its beginning, and goes last
   */
  #makePlace(job: J, tokens: readonly number[], source: Sequence | SavedRows | undefined, now: number): boolean {
    for (;;) {
      const wanted = this.#wanted(job, tokens.length) - this.#shared(job, source, tokens)
      const slots = this.table.freeSlots - 1
      const cells = this.table.cells.capacity - this.claimed - wanted
      const full = this.running.size >= this.#parallel
      if (!full && slots >= 0 && cells >= 0) return true
      // One is on its way out.
      if (!full && slots < 0 && this.table.leavingSlots > 0) return false
      if (!full && this.prefixes.evictText(slots < 0 ? 'slots' : 'cells', source)) continue
      if (!this.#giveWay(job, now)) return false
    }
  }

  /** Cells of a job's beginning that it need not have for itself. */
  #shared({ scoresFrom }: J, source: Sequence | SavedRows | undefined, tokens: readonly number[]): number {
    if (source === undefined || isSaved(source) || !this.table.sharesCells) return 0
    const agreed = Math.min(commonPrefix(source.tokens, tokens), tokens.length - 1, scoresFrom)
    return this.table.usableRows(source, agreed)
  }

  /** A running job of less value loses its place. */
  #giveWay(job: J, now: number): boolean {
    if (job.revocable) return false
    const idle = [...this.running].filter(({ sequence }) => !this.table.inFlight(sequence!))
    const other =
      idle.find(({ revocable }) => revocable) ??
      idle.find(({ held }) => held) ??
      idle.find((other) => isBatch(other) && !isBatch(job) && !this.#overdue(other, now))
    if (other === undefined) return false
    this.#displace(other, true)
    return true
  }

  #overdue(job: J, now: number): boolean {
    return job.arrival + job.tier.ttftMs < now
  }

  #begin(job: J, tokens: readonly number[], source: Sequence | SavedRows | undefined): void {
    // Attention would walk over their cells, too.
    this.prefixes.evictResting(source)
    const options = {
      wantsExit: job.wantsExit,
      background: job.revocable,
      tier: job.tier,
      arrival: job.arrival,
      scoresFrom: job.scoresFrom,
      prompt: job.prompt.length,
    }
    const sequence =
      source === undefined
        ? this.table.add(tokens, options)!
        : isSaved(source)
          ? this.table.addRestored(source, tokens, options)!
          : this.table.addSharing(source, tokens, options)!
    if (source) this.prefixes.touch(source)
    job.sequence = sequence
    if (job.resume === undefined) job.cached = sequence.computed[0]!
    job.resume = undefined
    if (job.shares) this.prefixes.enter(sequence, job.cacheNamespace)
    job.phase = 'running'
    this.running.add(job)
    this.#events.began(job)
  }

  // --- ends ---------------------------------------------------------------------------------------------------------

  /** A job is over. `keep`: its rows are kept for others. */
  end(job: J, keep: boolean): void {
    this.retire(job)
    this.release(job, keep ? 'kept' : 'dropped')
  }

  /** A job is over: nothing of it runs any more, but it has its place until that is released. */
  retire(job: J): void {
    const waiting = this.#waiting.indexOf(job)
    if (waiting >= 0) this.#waiting.splice(waiting, 1)
    this.running.delete(job)
    job.phase = 'over'
    if (job.sequence) this.table.pauseAt(job.sequence, 0)
  }

  /**
   * A job gives its place back.
   * @param rows `kept`: outside the cache; `resting`: and where they are, while nobody needs the place
   */
  release({ sequence, cacheNamespace: salt, shares }: J, rows: 'kept' | 'resting' | 'dropped'): void {
    if (sequence === undefined || !this.table.has(sequence)) return
    if (rows !== 'dropped' && shares) {
      this.table.dropUnfinishedRows(sequence)
      if (rows === 'resting' && this.prefixes.rest(sequence, salt)) return
      this.prefixes.keep(sequence, salt)
    }
    this.prefixes.leave(sequence)
    this.table.remove(sequence)
  }

  /** A job loses its place: a revocable one for good, any other waits again. */
  #displace(job: J, keep: boolean): void {
    const sequence = job.sequence!
    this.running.delete(job)
    if (job.revocable) {
      job.phase = 'over'
      this.release(job, keep ? 'kept' : 'dropped')
      this.#events.dropped(job)
      return
    }
    this.preemptions++
    this.#events.preempted(job)
    job.resume = sequence.tokens.slice(0, sequence.committed)
    this.release(job, keep ? 'kept' : 'dropped')
    job.sequence = undefined
    job.phase = 'waiting'
    this.#waiting.push(job)
  }

  // --- steps --------------------------------------------------------------------------------------------------------

  /**
   * The next step for an idle device, or undefined. Where the cells do not suffice for it, it gets fewer rows: guesses are
   * the first to be left out. Where there are none, stages that need none go on, and then somebody makes room.
   */
  next(device: number, now: number): Step | undefined {
    for (;;) {
      const step = this.plan(device, now)
      if (step === undefined) return undefined
      const { free } = this.table.cells
      if (step.stage > 0 || rowsOf(step) <= free) return this.#begun(step)
      if (this.prefixes.evictText('cells')) continue
      const smaller = this.#planner.plan(device, now, free)
      if (smaller) return this.#begun(smaller)
      // What runs elsewhere may end with fewer rows than it has.
      if (this.table.running.length > 0) return undefined
      // For background work nobody else gives way.
      if (step.rows.every(({ sequence }) => inBackground(sequence)) || !this.#makeRoom()) return undefined
    }
  }

  /** The next step for a device as it is now, if there is room for it. Nothing begins. */
  plan(device: number, now: number): Step | undefined {
    return this.#planner.plan(device, now)
  }

  #begun(step: Step): Step {
    this.table.begin(step)
    return step
  }

  /** Frees cells, while nothing runs: of guesses, else of the job that is worth least, unless it is the only one. */
  #makeRoom(): boolean {
    for (const job of this.running) if (this.#dropGuesses(job)) return true
    const least = [...this.running].sort(
      (a, b) =>
        Number(b.revocable) - Number(a.revocable) || Number(isBatch(b)) - Number(isBatch(a)) || b.arrival - a.arrival,
    )[0]
    if (least === undefined || (this.running.size === 1 && !least.revocable)) return false
    this.#displace(least, false)
    return true
  }

  /** Frees the cells of a job's looks, other continuations and tail. False when it has none. */
  #dropGuesses(job: J): boolean {
    const { table } = this
    const sequence = job.sequence!
    const own = table.children(sequence).some(({ slot }) => table.cells.own(slot) > 0)
    if (!own && sequence.computed[0]! <= sequence.committed) return false
    table.removeChildren(sequence)
    table.replace(sequence, sequence.committed)
    this.#events.guessesDropped(job)
    return true
  }
}

function isBatch(job: Job): boolean {
  return job.tier.preemptible
}
