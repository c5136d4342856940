import assert from 'node:assert/strict'
import { IncipitError } from '../src/api/errors.ts'
import type { LoopDriver } from '../src/serving/loop-driver.ts'
import type { CheckedLoop } from './checked-loop.ts'
import type { Pause, Schedule } from './schedule.ts'
import type { ScheduledRequest } from './scheduled-request.ts'
import { vocabulary } from './simulated-model.ts'

/** What events happen to. */
interface Scene {
  readonly schedule: Schedule
  readonly requests: readonly ScheduledRequest[]
  readonly loop: CheckedLoop
  readonly driver: LoopDriver
  /** No step may run now. */
  readonly checkIdle: () => void
  /** No step goes on that is mostly for nothing. */
  readonly checkStopped: () => void
  /** No step goes on that is for texts of others alone, while this request waits. */
  readonly checkInterrupted: (request: ScheduledRequest) => void
  /** Something went wrong where nobody is called. */
  readonly onFault: (error: unknown) => void
}

/** What comes to a loop from outside, as an engine and its callers do it, tick by tick. */
export class ScheduleEvents {
  readonly #scene: Scene
  /** By tick, what happens then. */
  readonly #timeline = new Map<number, (() => void)[]>()
  readonly #pauses = new Set<Promise<void>>()
  /** With what everything ended. */
  #failure: Error | undefined
  #tick = 0
  /** Replies that were adopted before they were over. */
  adopted = 0

  constructor(scene: Scene) {
    this.#scene = scene
    const { schedule, requests } = scene
    for (const request of requests) this.#planRequest(request)
    for (const pause of schedule.pauses) this.#at(pause.at, () => this.#pause(pause))
    if (schedule.failAt !== undefined) this.#at(schedule.failAt, () => this.#failAll())
  }

  /** Nothing more will come. */
  get over(): boolean {
    return this.#timeline.size === 0
  }

  /** Pauses that somebody still waits for. */
  get pauses(): ReadonlySet<Promise<void>> {
    return this.#pauses
  }

  /** Time goes on by a tick. */
  goOn(): void {
    const acts = this.#timeline.get(this.#tick)
    this.#timeline.delete(this.#tick++)
    // One of them may lead to the end of everything; then the others do not happen.
    for (const act of acts ?? []) if (this.#failure === undefined) act()
  }

  /** Whoever is still there goes away. */
  end(): void {
    for (const request of this.#scene.requests) {
      this.cancel(request)
      this.#forget(request)
    }
  }

  #planRequest(request: ScheduledRequest): void {
    const { at, typed = [], keep, early, cancel, forget } = request.arrival
    for (const [tick, state] of typed.entries()) {
      if (tick < at || keep) this.#at(tick, () => this.#type(request, tick, state))
    }
    this.#at(at, () => this.#submit(request))
    if (early?.adopt !== undefined) this.#at(at + early.adopt, () => this.#adopt(request, early.more))
    if (cancel !== undefined) this.#at(at + cancel, () => this.cancel(request))
    if (forget !== undefined) this.#at(forget, () => this.#forget(request))
  }

  #at(tick: number, act: () => void): void {
    const acts = this.#timeline.get(tick)
    if (acts) acts.push(act)
    else this.#timeline.set(tick, [act])
  }

  /** What an engine does after everything that may give the loop something to do. */
  #wake(): void {
    this.#scene.loop.disturbed()
    this.#scene.driver.wake()
  }

  #submit(request: ScheduledRequest): void {
    const { loop, schedule, checkInterrupted } = this.#scene
    try {
      request.active = loop.submit(request.plan)
      if (!request.active.revocable) checkInterrupted(request)
    } catch (error) {
      assert.ok(error instanceof IncipitError && error.code === 'overloaded', String(error))
      assert.ok(loop.scheduler.waiting.length >= schedule.maxWaiting)
      request.outcome = 'refused'
    }
    this.#wake()
  }

  #adopt(request: ScheduledRequest, more: number): void {
    const { active, outcome } = request
    if (!active || outcome === 'dropped' || outcome === 'failed') return
    const { loop, checkInterrupted } = this.#scene
    const goesOn = active.phase !== 'over'
    loop.makeFinal(active, more)
    if (goesOn) {
      this.adopted++
      request.maxTokens += more
      checkInterrupted(request)
    }
    this.#wake()
  }

  /** As an engine does that is told twice. */
  cancel({ active }: ScheduledRequest): void {
    if (!active) return
    const { loop, checkStopped } = this.#scene
    const goesOn = active.phase !== 'over'
    for (let i = 0; i < 2; i++) loop.cancel(active)
    if (goesOn) checkStopped()
    this.#wake()
  }

  #type(request: ScheduledRequest, tick: number, { right, wrong }: { right: number; wrong: number }): void {
    if (request.forgotten || !request.input) return
    request.typed = [...request.plan.prompt.slice(0, right), ...new Array<number>(wrong).fill(tick % vocabulary)]
    this.#scene.loop.follow(request.input)
    this.#wake()
  }

  #forget(request: ScheduledRequest): void {
    request.forgotten = true
    if (request.input) this.#scene.loop.forget(request.input)
    this.#wake()
  }

  #pause({ microtasks }: Pause): void {
    const { loop, checkIdle, onFault } = this.#scene
    const paused = loop.between(async () => {
      assert.equal(this.#failure, undefined, 'somebody gets the caches after everything ended')
      checkIdle()
      await undefined
      checkIdle()
    })
    this.#wake()
    const over = this.#goOnAfter(paused, microtasks)
      .catch((error) => {
        if (error !== this.#failure) onFault(error)
      })
      .finally(() => this.#pauses.delete(over))
    this.#pauses.add(over)
  }

  async #goOnAfter(paused: Promise<void>, microtasks: number): Promise<void> {
    await paused
    for (let i = 0; i < microtasks; i++) await undefined
    this.goOn()
  }

  #failAll(): void {
    const error = new Error('everything ends')
    this.#failure = error
    this.#timeline.clear()
    for (const { causes } of this.#scene.requests) causes.add(error)
    this.#scene.loop.fail(error)
    this.#wake()
  }
}
