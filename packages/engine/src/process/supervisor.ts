import type { Log } from '../api/engine-options.ts'
import { IncipitError } from '../api/errors.ts'
import { nativeThreads } from '../api/native-threads.ts'
import { EngineChild } from './engine-child.ts'
import { type FromChild, type Load, type LoadedInfo, protocolVersion, type ToChild } from './messages.ts'
import { thrown } from './protocol.ts'
import { RecentLines } from './recent-lines.ts'

export interface SupervisorOptions {
  /** What every child is told first. */
  readonly load: Load
  /** Milliseconds before another try where the next child would probably die, too. */
  readonly pauseMs: number
  readonly log: Log
}

export interface SupervisorEvents {
  /** Whatever is not about the process itself. */
  message(message: FromChild): void
  /** A child is there, after another one died: it is to be told of everything that is in flight. */
  startedAgain(): void
  /**
   * The child died.
   * @param error what was in flight at too many deaths ends with it
   * @returns whether anything did
   */
  died(error: IncipitError): boolean
}

/** Steps before a death that go into the log. */
const traceLines = 40
/** Milliseconds for a child to end by itself. */
const closeMs = 10_000

/**
 * Keeps the process of an engine running: starts it, watches it, kills it when it hangs, and starts it again when it
 * died. A native library cannot be trusted not to crash, and the process that crashes should not be the one that
 * remembers what was to be said.
 */
export class Supervisor<Info extends LoadedInfo> {
  readonly #options: SupervisorOptions
  readonly #events: SupervisorEvents
  readonly #trace = new RecentLines(traceLines)
  readonly #first = Promise.withResolvers<Info>()
  #child: EngineChild | undefined
  #ready = false
  #started = 0
  #failure: IncipitError | undefined
  #timer: NodeJS.Timeout | undefined
  #closing: PromiseWithResolvers<void> | undefined

  constructor(options: SupervisorOptions, events: SupervisorEvents) {
    this.#options = options
    this.#events = events
  }

  /**
   * Starts the first child.
   * @throws IncipitError as `Engine.load`; `engine_died` when it dies before the model is loaded
   */
  start(): Promise<Info> {
    this.#begin()
    return this.#first.promise
  }

  /** Whether there is a child with a model. */
  get ready(): boolean {
    return this.#ready
  }

  /** Why there will be none for a while, or any more. */
  get failure(): IncipitError | undefined {
    return this.#failure
  }

  /** Process id of the child, while there is one. */
  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** Tells the child, if it is ready; otherwise `startedAgain` will come. */
  send(message: ToChild): void {
    if (this.#ready) this.#child?.send(message)
  }

  /** Ends the child. Resolves when it is gone. */
  close(): Promise<void> {
    if (this.#closing) return this.#closing.promise
    this.#closing = Promise.withResolvers<void>()
    this.#failure = new IncipitError('closed', 'the engine was closed')
    clearTimeout(this.#timer)
    const child = this.#child
    if (child === undefined) this.#closing.resolve()
    else if (!this.#ready) child.kill('was closed')
    else {
      child.send({ type: 'close' })
      setTimeout(() => child.kill('did not close'), closeMs).unref()
    }
    return this.#closing.promise
  }

  #begin(): void {
    this.#started = performance.now()
    const { load } = this.#options
    const child = new EngineChild(
      { message: (message) => this.#take(message), ended: (how) => this.#ended(how) },
      nativeThreads(load.options.threads),
    )
    this.#child = child
    child.send(load)
  }

  #take(message: FromChild): void {
    const { log } = this.#options
    switch (message.type) {
      case 'ready':
        this.#isReady(message.version, message.info)
        return
      case 'unloadable':
        if (this.#restarted) log('error', `the model cannot be loaded again: ${message.error.message}`)
        else this.#first.reject(thrown(message.error))
        return
      case 'late':
        this.#child?.kill(`hung: a step took ${seconds(message.ms)}, and may take ${seconds(message.mostMs)}`)
        return
      case 'defect':
        log('error', message.error.message)
        this.#child?.kill('stopped at a defect')
        return
      case 'log':
        log(message.level, message.message)
        return
      case 'trace':
        this.#trace.add(message.line)
        return
      default:
        // What a child that is being killed still says of its requests is as true as before.
        this.#events.message(message)
    }
  }

  /** Whether a child was ready before. */
  #restarted = false

  #isReady(version: number, info: LoadedInfo): void {
    if (version !== protocolVersion) {
      this.#child?.kill(`speaks version ${version} of the protocol, not ${protocolVersion}`)
      return
    }
    this.#ready = true
    if (!this.#closing) this.#failure = undefined
    this.#child!.watch(this.#options.load.options.hangMs)
    // It answers what it was told first.
    this.#first.resolve(info as Info)
    if (this.#restarted) {
      this.#options.log('warn', `the engine is there again after ${seconds(performance.now() - this.#started)}`)
      this.#events.startedAgain()
    }
    this.#restarted = true
  }

  #ended(how: string): void {
    const wasReady = this.#ready
    this.#ready = false
    this.#child = undefined
    if (this.#closing) {
      this.#first.reject(this.#failure)
      this.#closing.resolve()
      return
    }
    const { log, pauseMs } = this.#options
    const lines = this.#trace.take()
    if (!this.#restarted) {
      // Whoever starts an engine hears himself that it does not start.
      this.#first.reject(new IncipitError('engine_died', `the engine ${how} while it loaded the model`))
      return
    }
    const tooOften = this.#events.died(
      new IncipitError('engine_died', `the engine ${how}: the third time within a minute while this was in flight`),
    )
    const inMs = tooOften || !wasReady ? pauseMs : 0
    const again = inMs > 0 ? `starting it again in ${seconds(inMs)}` : 'starting it again'
    log('error', `the engine ${how}; ${again}`)
    if (tooOften)
      log('error', `what was in flight at three deaths has ended; the last steps before:\n${lines.join('\n')}`)
    if (inMs > 0) this.#failure = new IncipitError('engine_died', `the engine ${how}; ${again}`)
    this.#timer = setTimeout(() => this.#begin(), inMs)
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
