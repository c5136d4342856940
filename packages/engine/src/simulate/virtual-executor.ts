import type { EndedStep, Executor, OutputRow, Place } from '../core/executor.ts'
import type { ChosenLogprobs } from '../core/sampling/logprobs.ts'
import type { Choice, TokenChooser } from '../core/sampling/token-chooser.ts'
import type { Step } from '../core/sequences/sequence.ts'
import { CountedCaches } from './counted-caches.ts'
import { type MachineProfile, stepMs } from './profile.ts'
import { normal, uniform } from './random.ts'
import type { ScriptedReply } from './scripted-reply.ts'
import type { VirtualClock } from './virtual-clock.ts'

// What a draw is about.
const about = { noise: 201, noiseToo: 202 }

interface Running {
  readonly step: Step
  readonly ms: number
  /** When it ends, on the clock. */
  readonly end: number
}

/** Runs steps on a virtual clock: each takes as long as a profile says, and tokens are those of scripts. */
export class VirtualExecutor implements Executor {
  readonly caches: CountedCaches
  /** Per device: ms during which it ran. */
  readonly busyMs: number[]
  readonly #profile: MachineProfile
  readonly #clock: VirtualClock
  readonly #seed: number
  readonly #replies = new WeakMap<TokenChooser, ScriptedReply>()
  /** One step per device at most; the one that ends first first. */
  readonly #running: Running[] = []
  #steps = 0

  constructor(profile: MachineProfile, clock: VirtualClock, seed: number) {
    this.#profile = profile
    this.#clock = clock
    this.#seed = seed
    this.caches = new CountedCaches(profile.slots, profile.cellBytes)
    this.busyMs = new Array<number>(Math.max(...profile.devices) + 1).fill(0)
  }

  /** Who asks with this chooser is told this reply. */
  tell(chooser: TokenChooser, reply: ScriptedReply): void {
    this.#replies.set(chooser, reply)
  }

  run(step: Step): void {
    const ms = stepMs(this.#profile, step) * this.#noise(this.#steps++)
    this.caches.fill(step)
    this.busyMs[this.#profile.devices[step.stage]!]! += ms
    this.#running.push({ step, ms, end: this.#clock.now + ms })
    this.#running.sort((a, b) => a.end - b.end)
  }

  /** A factor with mean 1. */
  #noise(step: number): number {
    const { noise } = this.#profile
    if (noise === 0) return 1
    const [u, v] = [uniform(this.#seed, about.noise, step), uniform(this.#seed, about.noiseToo, step)]
    return Math.exp(noise * normal(u, v) - noise ** 2 / 2)
  }

  async ended(): Promise<EndedStep> {
    const { step, ms, end } = this.#running.shift()!
    this.#clock.advance(end)
    return { step, result: 'done', ms, measured: true }
  }

  /** Only background work and what was cancelled is stopped. Neither is simulated: every step is done before. */
  abort(): void {}

  storeHiddenStates(): void {}

  choose({ step, rows, reply }: Place, chooser: TokenChooser): Choice {
    const { sequence } = rows
    const script = this.#replies.get(chooser)!
    if (sequence.kind === 'lookahead') return script.lookahead(reply, sequence.forkPoint)
    if (step.stage < sequence.computed.length - 1) return script.exit(reply)
    return { token: script.said(reply.end - reply.start) }
  }

  /** Scripts hold every prompt for certain. */
  score(_row: OutputRow, token: number): ChosenLogprobs {
    return { token, logprob: 0, top: [] }
  }
}
