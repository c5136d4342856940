import { CostModel } from '../core/cost/cost-model.ts'
import type { SlotRows } from '../core/cost/microbatches.ts'
import { BusyPeriod } from '../core/schedule/busy-period.ts'
import { Scheduler } from '../core/schedule/scheduler.ts'
import { inPrompt, meanDepth, type Rows, type Step, slotRowsOf } from '../core/sequences/sequence.ts'
import { SequenceTable } from '../core/sequences/sequence-table.ts'
import { type Flight, flightOf } from './flight.ts'
import type { GuessQuality } from './guess-sampler.ts'
import { Guessing } from './guessing.ts'
import type { Outcome, ReplyRecord } from './outcome.ts'
import { type MachineProfile, rowsMs, stepMs } from './profile.ts'
import { normal, uniform } from './random.ts'
import { RowAccounting } from './row-accounting.ts'
import type { RequestSource } from './workload.ts'

export interface SimulationOptions {
  readonly seed: number
  /** How good guesses are; undefined: nobody guesses. */
  readonly guesses?: GuessQuality
  /** `provisional`: looks ahead are taken, and shown. */
  readonly policy: 'committed' | 'provisional'
  /** Calibrated survival from which a guess is shown. */
  readonly minStability: number
}

// The engine's own longest step of prompt rows (loop.ts).
const longestStepMs = 250
// Sizes that the engine measures at start-up, so that its cost model has first numbers.
const warmUpRows = [1, 4, 32, 1, 8]

// What a draw is about.
const about = { noise: 201, noiseToo: 202 }

/**
 * Runs the scheduler on a virtual clock: the engine's own `flow/`, with steps that take as long as a profile says, on
 * requests whose replies are fixed. The same arguments give the same outcome.
 *
 * @throws Error when the scheduler stops although somebody waits: a defect of it
 */
export function simulate(profile: MachineProfile, source: RequestSource, options: SimulationOptions): Outcome {
  return new Simulation(profile, source, options).run()
}

/** The engine's loop (loop.ts), with a clock of its own instead of devices. */
class Simulation {
  readonly #profile: MachineProfile
  readonly #source: RequestSource
  readonly #seed: number
  readonly #core: SequenceTable
  readonly #scheduler: Scheduler<Flight>
  /** What the engine believes that steps cost: learnt from those it ran. */
  readonly #costs = new CostModel()
  readonly #crowd = new BusyPeriod()
  readonly #guessing: Guessing | undefined
  readonly #ledger = new RowAccounting()
  /** Steps that run, one per device at most, the one that ends first first. */
  readonly #running: { step: Step; end: number }[] = []
  readonly #replies: ReplyRecord[] = []
  readonly #busy: number[]
  #now = 0
  #steps = 0

  constructor(profile: MachineProfile, source: RequestSource, options: SimulationOptions) {
    this.#profile = profile
    this.#source = source
    this.#seed = options.seed
    this.#busy = new Array<number>(Math.max(...profile.devices) + 1).fill(0)
    for (const rows of warmUpRows) {
      for (const stage of profile.devices.keys()) this.#costs.observe(stage, rows, rowsMs(profile, stage, rows))
    }
    this.#core = new SequenceTable({
      devices: profile.devices,
      slots: profile.slots,
      cells: profile.cells,
      unified: profile.unified,
      caches: {
        remove() {},
        share() {},
        restore() {},
        save: (stage, slot) => ({ bytes: stage === 0 ? this.#core.cells.rows(slot) * profile.cellBytes : 0 }),
      },
      limits: {
        batch: profile.batch,
        stepMs: longestStepMs,
        tile: profile.tile,
        // In a unified cache rows of several sequences would share a tile.
        ...(profile.unified && profile.tile > 1 ? { mixed: profile.tile - 1 } : {}),
        separateCaches: !profile.unified,
        ...(profile.exit ? { exitStage: 0 } : {}),
      },
      costs: this.#costs,
    })
    this.#scheduler = new Scheduler(this.#core, {
      costs: this.#costs,
      parallel: profile.parallel,
      keptBytes: profile.keptBytes,
      events: {
        began: (flight) => this.#began(flight),
        guessesDropped: (flight) => this.#lost(flight),
        preempted: (flight) => this.#lost(flight),
        dropped() {},
      },
    })
    const { guesses: quality, seed, minStability, policy } = options
    const said = (request: number, position: number) => source.said(request, position)
    this.#guessing =
      quality &&
      new Guessing(this.#core, this.#costs, this.#ledger, {
        quality,
        seed,
        minStability,
        provisional: policy === 'provisional',
        said,
        tile: profile.tile,
        delayed: () => this.#crowd.delayed(this.#waitForFirst()),
      })
  }

  run(): Outcome {
    for (;;) {
      while (this.#source.next <= this.#now) this.#arrive()
      this.#scheduler.admit(this.#now)
      this.#guessing?.prepare(this.#scheduler.running, () => this.#planned())
      for (const device of this.#busy.keys()) {
        const step = this.#scheduler.next(device, this.#now)
        if (step) this.#start(step, device)
      }
      const ended = this.#running.shift()
      if (ended) {
        this.#now = Math.max(this.#now, ended.end)
        this.#ended(ended.step)
        this.#now += this.#profile.betweenStepsMs
      } else if (!this.#endStuck()) {
        if (this.#source.next === Number.POSITIVE_INFINITY) break
        this.#now = this.#source.next
      }
    }
    const left = this.#scheduler.waiting.length + this.#scheduler.running.size
    if (left > 0) throw new Error(`the scheduler has nothing to run, but ${left} requests are not done`)
    const { rows, kept, waste } = this.#ledger
    return {
      replies: this.#replies,
      elapsedMs: this.#now,
      busyMs: this.#busy,
      steps: this.#steps,
      rows,
      kept,
      waste,
      drafted: this.#guessing?.drafted ?? 0,
      accepted: this.#guessing?.accepted ?? 0,
      preemptions: this.#scheduler.preemptions,
    }
  }

  // --- requests -----------------------------------------------------------------------------------------------------

  #arrive(): void {
    const request = this.#source.take()
    this.#crowd.arrived(this.#waitForFirst())
    const flight = flightOf(request, {
      // Nobody knows when a reply will end.
      mostTokens: this.#profile.context - request.prompt.length,
      stages: this.#profile.devices.length,
      exits: this.#profile.exit && this.#guessing !== undefined && request.tier.speculates,
      looks: this.#guessing?.looksOf(request) ?? [],
    })
    this.#scheduler.submit(flight)
  }

  #began(flight: Flight): void {
    this.#ledger.began(flight)
    this.#guessing?.begin(flight)
  }

  /** A flight lost its guesses, perhaps with its place. */
  #lost(flight: Flight): void {
    this.#ledger.rolledBack(flight, flight.sequence!.committed)
    this.#guessing?.forget(flight)
  }

  /** Nothing runs although somebody wants to: the cache has no room, even for a request that is alone. */
  #endStuck(): boolean {
    const stuck = [...this.#scheduler.running].find(({ sequence }) => sequence!.computed[0]! < sequence!.committed)
    if (stuck === undefined || Number.isFinite(stuck.sequence!.pausedAt)) return false
    this.#finish(stuck)
    return true
  }

  #finish(flight: Flight): void {
    const { request, gaps, provisional, stable, committed, cached } = flight
    const sequence = flight.sequence!
    this.#guessing?.forget(flight)
    this.#ledger.ended(flight)
    this.#scheduler.end(flight, true)
    this.#replies.push({
      kind: request.kind,
      tier: request.tier,
      arrival: request.arrival,
      promptTokens: request.prompt.length,
      cachedTokens: cached,
      replyTokens: sequence.committed - sequence.prompt,
      provisional,
      stable,
      committed,
      end: this.#now,
      gaps,
    })
    this.#source.done(this.#now)
  }

  // --- steps --------------------------------------------------------------------------------------------------------

  /** Requests that wait for their first token, with a place or without. */
  #waitForFirst(): number {
    const { running, waiting } = this.#scheduler
    return waiting.length + [...running].filter(({ sequence }) => inPrompt(sequence!)).length
  }

  /** Rows of the next steps as they are now, on all devices. */
  #planned(): SlotRows[] {
    return this.#busy.flatMap((_, device) => {
      const step = this.#core.plan(device, this.#now)
      return step ? slotRowsOf(step) : []
    })
  }

  #start(step: Step, device: number): void {
    const ms = stepMs(this.#profile, step) * this.#noise()
    this.#steps++
    this.#busy[device]! += ms
    this.#running.push({ step, end: this.#now + ms })
    this.#running.sort((a, b) => a.end - b.end)
    this.#costs.observeMicrobatches(step.stage, this.#core.microbatchesOf(step), ms, meanDepth(step))
  }

  /** A factor with mean 1. */
  #noise(): number {
    const { noise } = this.#profile
    if (noise === 0) return 1
    const [u, v] = [uniform(this.#seed, about.noise, this.#steps), uniform(this.#seed, about.noiseToo, this.#steps)]
    return Math.exp(noise * normal(u, v) - noise ** 2 / 2)
  }

  #ended(step: Step): void {
    this.#core.ran(step, this.#now)
    const last = step.stage === this.#core.stages - 1
    for (const rows of step.rows) {
      const { sequence, to, valid, output } = rows
      const flight = this.#scheduler.jobOf(sequence)
      if (sequence.kind === 'lookahead') {
        this.#ledger.looked(rows)
        // The prompt's own first token may have been decided just now: then the look is over.
        if (flight && last && output < valid && this.#core.has(sequence)) this.#guessing!.looked(flight, this.#now)
      } else if (flight?.sequence !== sequence || !this.#core.has(sequence)) {
        this.#ledger.ranForNothing(rows)
      } else {
        this.#ledger.ran(flight, step.stage, rows)
        if (last) this.#decide(flight, rows)
        else if (output < valid && valid === to) this.#guessing?.exit(flight, to, this.#now)
      }
    }
  }

  /** The last stage decides: it confirms the tail token by token, or replaces it. */
  #decide(flight: Flight, { output, valid }: Rows): void {
    const sequence = flight.sequence!
    const { index, reply } = flight.request
    for (let first = true; ; first = false) {
      const row = sequence.committed - 1
      if (row < output || row >= Math.min(valid, sequence.computed.at(-1)!)) return
      const position = sequence.committed - sequence.prompt
      if (position === 0) this.#guessing?.endLooks(flight)
      const token = this.#source.said(index, position)
      const verdict = this.#core.decide(sequence, token)
      if (verdict === 'replaced') this.#ledger.rolledBack(flight, sequence.committed - 1)
      this.#guessing?.learn(flight, verdict === 'confirmed')
      this.#say(flight, position, token, first)
      if (position + 1 < reply) continue
      this.#finish(flight)
      return
    }
  }

  /** A token is final; `first`: of those that this step decides. */
  #say(flight: Flight, position: number, token: number, first: boolean): void {
    if (position === 0) {
      flight.committed = this.#now
      flight.stable = flight.shown?.token === token ? flight.shown.at : this.#now
    } else if (first) flight.gaps.push(this.#now - flight.last)
    flight.last = this.#now
  }
}
