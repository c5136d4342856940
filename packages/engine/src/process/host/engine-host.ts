import type { ConstraintCompiler } from '../../api/constraint.ts'
import { IncipitError } from '../../api/errors.ts'
import type { InputOptions } from '../../api/input-options.ts'
import { Engine } from '../../engine.ts'
import type { InputSession } from '../../input/input-session.ts'
import type { ActiveRequest } from '../../serving/active-request.ts'
import type { ReplySink } from '../../serving/reply-stream.ts'
import { traceTo } from '../../serving/trace.ts'
import { type Call, type ChildOptions, type Load, protocolVersion, type ToChild, type Wants } from '../messages.ts'
import { plain } from '../protocol.ts'
import type { Outgoing } from './outgoing.ts'
import { steady } from './steady.ts'
import { requireVersion } from './version.ts'
import { watchSteps } from './watchdog.ts'

type Edit = Extract<ToChild, { readonly type: 'open' | 'replace' | 'configure' | 'add' | 'commit' | 'closeInput' }>

/** Serves one engine to the process that asked for it. */
export class EngineHost {
  readonly #engine: Engine
  readonly #out: Outgoing
  readonly #requests = new Map<number, ActiveRequest>()
  readonly #inputs = new Map<number, InputSession>()
  /** What ends each watch. */
  readonly #watches = new Map<number, () => void>()
  /** Prefills that run. */
  readonly #calls = new Map<number, AbortController>()

  private constructor(engine: Engine, out: Outgoing) {
    this.#engine = engine
    this.#out = out
  }

  /** @throws as `Engine.load`; `invalid_request` for a module without a compiler */
  static async load(message: Extract<Load, { type: 'load' }>, out: Outgoing): Promise<EngineHost> {
    const { version, path, options } = message
    requireVersion(version)
    const { constraints, hangMs, ...others } = options
    traceTo((line) => out.say({ type: 'trace', line }))
    const engine = await Engine.load(path, {
      ...others,
      ...(constraints && { constraints: await compilerOf(constraints) }),
      log: (level, message) => out.say({ type: 'log', level, message }),
    })
    engine.watchComputing(
      steady((computing) => {
        out.say({ type: 'computing', computing })
        out.flush()
      }),
    )
    watchSteps(engine, hangMs, (ms, mostMs) => out.say({ type: 'late', ms, mostMs }))
    out.say({ type: 'ready', version: protocolVersion, info: engine.info })
    if (constraints) setImmediate(prepareConstraints, engine)
    return new EngineHost(engine, out)
  }

  /** Does what a message asks for. What goes wrong is said, and never thrown. */
  take(message: Exclude<ToChild, Load>): void {
    switch (message.type) {
      case 'generate': {
        const { id, request, life } = message
        this.#begin(id, (sink) => this.#engine.submit(request, { sink, formerLife: life }))
        return
      }
      case 'respond': {
        const { id, input, request } = message
        this.#begin(id, (sink) => this.#input(input).respondTo(sink, request))
        return
      }
      case 'cancel': {
        const request = this.#requests.get(message.id)
        if (request) this.#engine.cancel(request)
        this.#calls.get(message.id)?.abort()
        return
      }
      case 'hold': {
        const request = this.#requests.get(message.id)
        if (request) this.#engine.hold(request, message.held)
        return
      }
      case 'call':
        void this.#answer(message.id, message.call)
        return
      case 'close':
        void this.#close()
        return
      case 'threads':
        this.#engine.limitThreads(message.most)
        return
      case 'watch': {
        const { watch, options } = message
        const stop = this.#engine.watch((records) => this.#out.say({ type: 'watched', watch, records }), options)
        this.#watches.set(watch, stop)
        return
      }
      case 'unwatch':
        this.#watches.get(message.watch)?.()
        this.#watches.delete(message.watch)
        return
      case 'ping':
        this.#out.say({ type: 'pong' })
        return
      default:
        this.#edit(message)
    }
  }

  #begin(id: number, start: (sink: ReplySink) => ActiveRequest): void {
    const out = this.#out
    const sink: ReplySink = {
      push: (event, tokens) => out.say({ type: 'event', id, event, ...(tokens && { tokens }) }),
      close: (error) => {
        this.#requests.delete(id)
        if (error !== undefined) this.#fail(id, error)
      },
    }
    try {
      const request = start(sink)
      if (request.phase !== 'over') this.#requests.set(id, request)
      out.say({ type: 'accepted', id })
    } catch (error) {
      this.#fail(id, error)
    }
  }

  /** What ended the engine ends no request: another engine goes on with it. */
  #fail(id: number, error: unknown): void {
    if (error === this.#engine.failure) this.#out.say({ type: 'defect', error: plain(error) })
    else this.#out.say({ type: 'failed', id, error: plain(error) })
  }

  async #answer(id: number, call: Call): Promise<void> {
    try {
      const value = await this.#call(id, call)
      this.#out.say({ type: 'result', id, value })
    } catch (error) {
      this.#fail(id, error)
    } finally {
      this.#calls.delete(id)
    }
  }

  async #call(id: number, call: Call): Promise<unknown> {
    const engine = this.#engine
    switch (call.method) {
      case 'prefill':
      case 'pinPrefix': {
        const controller = new AbortController()
        this.#calls.set(id, controller)
        const request = { ...call.request, signal: controller.signal }
        return call.method === 'prefill' ? engine.prefill(request) : engine.pinPrefix(call.name, request)
      }
      case 'tokenize':
        return engine.tokenize(call.text, { special: call.special })
      case 'detokenize':
        return engine.detokenize(call.tokens, { special: call.special })
      case 'tokenBytes':
        return engine.tokenBytes(call.tokens, { special: call.special }).map((bytes) => [...bytes])
      case 'renderChat':
        return engine.renderChat(call.messages, call.options)
      case 'embed':
        throw new IncipitError(
          'invalid_request',
          'this process says one token after the other, and makes no embeddings',
        )
      case 'stats':
        return engine.stats()
      case 'costProfile':
        return engine.costProfile()
      case 'audit':
        return engine.audit()
      case 'idle':
        await engine.idle()
        return null
    }
  }

  // --- open inputs --------------------------------------------------------------------------------------------------

  #edit(message: Edit): void {
    try {
      if (message.type === 'open') {
        const { input, options, text, wants } = message
        const session = this.#engine.open({ ...options, ...this.#callbacks(input, wants) })
        this.#inputs.set(input, session)
        session.replace(0, text)
        return
      }
      const session = this.#input(message.input)
      if (message.type === 'replace') session.replace(message.base, message.text)
      else if (message.type === 'configure') {
        session.configure({ ...message.options, ...this.#callbacks(message.input, message.wants) })
      } else if (message.type === 'add') session.add(message.message)
      else if (message.type === 'commit') session.commit()
      else {
        session.close()
        this.#inputs.delete(message.input)
      }
    } catch (error) {
      this.#out.say({ type: 'inputFailed', input: message.input, error: plain(error) })
    }
  }

  #input(id: number): InputSession {
    const session = this.#inputs.get(id)
    if (session === undefined) throw new IncipitError('closed', 'the input session was closed')
    return session
  }

  #callbacks(input: number, wants: Wants): InputOptions {
    const out = this.#out
    return {
      ...(wants.progress && { onProgress: (progress) => out.say({ type: 'progress', input, progress }) }),
      ...(wants.preview && { onPreview: (event) => out.say({ type: 'preview', input, event }) }),
    }
  }

  async #close(): Promise<void> {
    await this.#engine.close()
    this.#out.say({ type: 'closed' })
    this.#out.flush()
    process.exit(0)
  }
}

async function compilerOf(module: ChildOptions['constraints'] & string): Promise<ConstraintCompiler> {
  const { default: compiler } = (await import(module)) as { default?: unknown }
  if (typeof compiler === 'function') return compiler as ConstraintCompiler
  const message = `constraints: ${module} has no compiler as its default export`
  throw new IncipitError('invalid_request', message, { param: 'constraints' })
}

/** The first constraint of a vocabulary takes up to half a second: better now than when somebody waits for it. */
function prepareConstraints(engine: Engine): void {
  try {
    const state = engine.createConstraint({ type: 'choice', choices: ['yes', 'no'] })
    state.mask()
    state[Symbol.dispose]?.()
  } catch {
    // Whoever declares one will hear of it.
  }
}
