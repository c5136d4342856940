import { CostModel } from '../core/cost/cost-model.ts'
import { fullAttention } from '../core/kv/sequence-memory.ts'
import { limitsOf, machineConstants } from '../core/schedule/machine-constants.ts'
import { Acceptances } from '../proposers/acceptances.ts'
import { fixedFirstWords } from '../proposers/first-words.ts'
import { planLookaheads } from '../proposers/skim.ts'
import type { RequestPlan } from '../serving/active-request.ts'
import { Loop } from '../serving/loop.ts'
import type { ReplySink } from '../serving/reply-stream.ts'
import { promptPlan } from '../serving/run-prompt.ts'
import { type GuessQuality, GuessSampler } from './guess-sampler.ts'
import type { Outcome, ReplyRecord } from './outcome.ts'
import { type MachineProfile, rowsMs } from './profile.ts'
import { ReplyRecorder } from './reply-recorder.ts'
import { RowAccounting } from './row-accounting.ts'
import { SampledDrafts } from './sampled-drafts.ts'
import { ScriptedReply } from './scripted-reply.ts'
import { VirtualClock } from './virtual-clock.ts'
import { VirtualExecutor } from './virtual-executor.ts'
import { vocabulary } from './vocabulary.ts'
import { type RequestSource, type SimulatedRequest, suffixTokens } from './workload.ts'

export interface SimulationOptions {
  readonly seed: number
  /** How good guesses are; undefined: nobody guesses. */
  readonly guesses?: GuessQuality
  /** `provisional`: lookaheads are taken, and shown. */
  readonly policy: 'committed' | 'provisional'
  /** Calibrated survival from which a guess is shown. */
  readonly minStability: number
}

// Sizes that the engine measures at start-up, so that its cost model has first numbers.
const warmUpRows = [1, 4, 32, 1, 8]
const noGuesses: GuessQuality = { drafts: 0, coverage: 0, looks: 0, exits: 0 }
// Before anything was counted, a draft is as likely right as wrong.
const priorAcceptance = 0.5

/**
 * Runs the engine's loop on a virtual clock, with steps that take as long as a profile says, on requests whose replies
 * are fixed. The same arguments give the same outcome.
 *
 * @throws Error when the loop stops although somebody waits: a defect of it
 */
export async function simulate(
  profile: MachineProfile,
  source: RequestSource,
  options: SimulationOptions,
): Promise<Outcome> {
  return await new Simulation(profile, source, options).run()
}

/** The engine's loop, and what it needs of a machine and of the world. */
class Simulation {
  readonly #profile: MachineProfile
  readonly #source: RequestSource
  readonly #options: SimulationOptions
  readonly #clock: VirtualClock
  readonly #executor: VirtualExecutor
  readonly #loop: Loop
  readonly #acceptances = new Acceptances()
  readonly #guesses: GuessSampler
  readonly #accounting = new RowAccounting()
  readonly #replies: ReplyRecord[] = []
  #requests = 0

  constructor(profile: MachineProfile, source: RequestSource, options: SimulationOptions) {
    const { guesses = noGuesses, seed } = options
    this.#profile = profile
    this.#source = source
    this.#options = options
    this.#guesses = new GuessSampler(guesses, seed)
    this.#clock = new VirtualClock(
      () => source.next,
      () => this.#submit(source.take()),
    )
    this.#executor = new VirtualExecutor(profile, this.#clock, seed)
    // All guesses of an exit are right equally often.
    const exit = { from: [0], survival: [guesses.exits], samples: 0 }
    this.#loop = new Loop({
      executor: this.#executor,
      devices: profile.devices,
      memory: fullAttention(profile.unified),
      slots: profile.slots,
      cells: profile.cells,
      parallel: profile.parallel,
      maxWaiting: Number.POSITIVE_INFINITY,
      savedBytes: profile.keptBytes,
      contextLength: profile.context,
      limits: limitsOf(
        { ...machineConstants, batchRows: profile.batch, tileRows: profile.tile },
        { microbatches: !profile.unified, exit: profile.exit },
      ),
      costs: measuredCosts(profile),
      vocabulary,
      acceptances: this.#acceptances,
      exit: profile.exit && options.guesses ? { first: exit, later: exit } : undefined,
      // Lookaheads say themselves how often they are right.
      firstWords: fixedFirstWords({
        first: ({ probability }) => probability,
        later: (probability) => probability,
        usual: () => guesses.looks,
        decided() {},
      }),
      now: () => this.#clock.now,
      observer: this.#accounting,
    })
  }

  async run(): Promise<Outcome> {
    const { betweenStepsMs } = this.#profile
    while (this.#source.next < Number.POSITIVE_INFINITY) {
      // Nothing is to be done before somebody comes.
      this.#clock.advance(this.#source.next)
      while (await this.#loop.step()) this.#clock.advance(this.#clock.now + betweenStepsMs)
    }
    const left = this.#requests - this.#replies.length
    if (left > 0) throw new Error(`the loop has nothing to run, but ${left} requests are not done`)
    return this.#outcome()
  }

  #outcome(): Outcome {
    const { rows, kept, waste } = this.#accounting
    const { steps, drafted, accepted } = this.#loop.stats
    return {
      replies: this.#replies,
      elapsedMs: this.#clock.now,
      busyMs: this.#executor.busyMs,
      steps,
      rows,
      kept,
      waste,
      drafted,
      accepted,
      preemptions: this.#loop.load.preempted,
    }
  }

  #submit(request: SimulatedRequest): void {
    const { seed } = this.#options
    const said = (index: number, position: number) => this.#source.said(index, position)
    const reply = new ScriptedReply(request, { said, guesses: this.#guesses, seed })
    const sink = new ReplyRecorder(
      request,
      () => this.#clock.now,
      (record) => {
        this.#replies.push(record)
        this.#source.done(this.#clock.now)
      },
    )
    const plan = this.#plan(request, reply, sink)
    this.#executor.tell(plan.chooser, reply)
    this.#requests++
    this.#loop.submit(plan)
  }

  #plan({ prompt, tier }: SimulatedRequest, reply: ScriptedReply, sink: ReplySink): RequestPlan {
    const { policy, minStability, guesses } = this.#options
    const { context, tile } = this.#profile
    const speculates = guesses !== undefined && tier.speculates
    const acceptance = this.#acceptances.of('lookup', tier.name, priorAcceptance)
    return {
      ...promptPlan(prompt, { shares: true }),
      // Nobody knows when a reply will end.
      maxTokens: context - prompt.length,
      policy,
      minStability,
      tier,
      sink,
      ...(speculates && {
        allowed: new Set(['exit', 'lookup']),
        proposers: [new SampledDrafts(reply, acceptance)],
        lookaheads: policy === 'provisional' ? planLookaheads(prompt.length, suffixTokens, tile) : [],
      }),
    }
  }
}

/** What the engine believes that steps cost at first; it learns from those it runs. */
function measuredCosts(profile: MachineProfile): CostModel {
  const costs = new CostModel()
  for (const rows of warmUpRows) {
    for (const stage of profile.devices.keys()) costs.observe(stage, rows, rowsMs(profile, stage, rows))
  }
  return costs
}
